// Each example as its header says to start it, on the runtime that runs this test: `npm test` starts it on each.
import { describe, it } from "@effect/vitest"
import { join } from "node:path"
import { assert } from "vitest"
import { root, run } from "../../scripts/run.ts"
import { currentRuntimeName, findRuntime } from "../../scripts/runtimes.ts"

/** The lines that a story must print, whatever else it does in between; the last ends it. */
const stories: Readonly<Record<string, ReadonlyArray<string>>> = {
  workers: [
    "published to 3, 2 answered: worker-3 is muted",
    "the call failed with Crashed; members of foo: 3",
    "It heals: one copy of each worker stays, and knows what both were told:",
    "0 workers are left. The end."
  ],
  "my-processes": [
    "  Notebook: 6 on a, 0 on b, 0 on gateway",
    "  Scratchpad: 6 on a, 0 on b, 0 on gateway",
    "Notebooks, with handoff: 6 of 6 have their line.",
    "Scratchpads, without: 2 of 6, those that stayed on a."
  ],
  "dynamic-supervisor": [
    "its caller was told Crashed; restarted under the same name",
    "members of foo: worker-1, worker-2, worker-3",
    "worker-1 on a, worker-2 on a, worker-3 on a",
    "members of foo: worker-1, worker-2, worker-3"
  ],
  fenced: [
    "  the copy: 100 cents, done, there are 200",
    "  old copy: 10 cents, done, there are 210",
    "  new copy: 200 cents, done, there are 410",
    "  old copy: 3000 cents, refused: a later copy has written",
    "  new copy: 200 cents, done, there are 610",
    "  old copy: 3000 cents, refused: a later copy has written",
    "  the copy: 3000 cents, done, there are 3610",
    "6 deposits were acknowledged, 3610 cents; stored are 3610."
  ],
  "two-backends": [
    "In the lobby, on gossip: ada, ben",
    "In ada's purse, on etcd: 300 cents",
    "More than that: TooLittle",
    "Etcd says where it is (linearizable), on the same node.",
    "Gossip has nobody to ask: Unavailable."
  ]
}

describe(`the commands of the examples, on ${currentRuntimeName}`, () => {
  for (const [example, expected] of Object.entries(stories)) {
    it(`examples/${example}/main.ts`, async () => {
      const runtime = findRuntime(currentRuntimeName)!
      const script = join(root, "examples", example, "main.ts")
      const { code, output, stdout = "" } = await run(runtime.command, runtime.argsFor(script), {
        capture: true,
        timeout: 90_000
      })
      assert.strictEqual(code, 0, output)
      const lines = stdout.trimEnd().split("\n")
      assert.deepStrictEqual(lines.filter((line) => expected.includes(line)), [...expected], output)
      assert.strictEqual(lines.at(-1), expected.at(-1), output)
    }, 100_000)
  }
})
