import { existsSync, readdirSync, readFileSync } from "node:fs"
import { type DefaultTheme, defineConfig } from "vitepress"

const docs = new URL("../", import.meta.url)

/** The pages of a folder under the titles they give themselves. */
const pagesOf = (folder: string): Array<DefaultTheme.SidebarItem> => {
  const path = new URL(`${folder}/`, docs)
  if (!existsSync(path)) return []
  return readdirSync(path).filter((name) => name.endsWith(".md") && name !== "index.md").sort().map((name) => ({
    text: /^# (.+)$/m.exec(readFileSync(new URL(name, path), "utf8"))?.[1] ?? name,
    link: `/${folder}/${name.replace(/\.md$/, "")}`
  }))
}

/** The API's pages, as typedoc lists them; it writes them before the site is built. */
const api = (): Array<DefaultTheme.SidebarItem> => {
  const list = new URL("api/typedoc-sidebar.json", docs)
  return existsSync(list) ? JSON.parse(readFileSync(list, "utf8")) as Array<DefaultTheme.SidebarItem> : []
}

const guide: Array<DefaultTheme.SidebarItem> = [
  { text: "Getting started", link: "/start" },
  { text: "Concepts", link: "/concepts" },
  { text: "Supervision", link: "/supervision" },
  { text: "Placement", link: "/placement" },
  { text: "When processes move", link: "/redistribution" },
  { text: "Handoff and snapshots", link: "/handoff" },
  { text: "The registry", link: "/registry" },
  { text: "Storage", link: "/storage" },
  { text: "Etcd", link: "/etcd" },
  { text: "Consistency", link: "/consistency" },
  { text: "Protocol", link: "/protocol" },
  { text: "Simulation", link: "/simulation" },
  { text: "Mutants", link: "/mutants" },
  { text: "Soak", link: "/soak" },
  { text: "Performance", link: "/performance" },
  { text: "Acceptance", link: "/acceptance" },
  { text: "Writing an adapter", link: "/adapter" },
  { text: "Coming from Swarm, Sworm, Horde", link: "/coming-from" }
]

const decisions = pagesOf("decisions")

export default defineConfig({
  title: "Sworm",
  description: "A cluster-wide process registry and supervisor for Effect programs in Deno, Bun and Node",
  cleanUrls: true,
  // a link to a page that is not there fails the build; examples may name servers on this machine
  ignoreDeadLinks: "localhostLinks",
  themeConfig: {
    search: { provider: "local" },
    nav: [{ text: "Guide", link: "/start" }, { text: "API", link: "/api/" }],
    sidebar: [
      { text: "Guide", items: guide },
      ...(decisions.length > 0 ? [{ text: "Decisions", collapsed: true, items: decisions }] : []),
      { text: "API", items: api() }
    ]
  }
})
