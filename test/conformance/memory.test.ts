// The gossip backend over a network that neither delays nor loses anything.
import { conformance, memoryHarness } from "./suite.ts"

conformance("memory", memoryHarness({ shutdownTimeout: "5 seconds" }), { concurrent: true })
