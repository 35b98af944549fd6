/** Where each rule that is taken away is missed: in which world, and in walks from which seed on. */
import type { Switch } from "./switches.ts"
import type { StrainName } from "./worlds.ts"

/** R9's marks: with R10 waiting for everyone who stored a buried section, nothing is left for them to discharge. */
export const superfluous: ReadonlyArray<Switch> = ["discharge"]

export const catches: Readonly<Partial<Record<Switch, readonly [world: StrainName, seed: number]>>> = {
  stored: ["claims", 18],
  registrations: ["claims", 5],
  carry: ["moves", 15],
  mask: ["everything", 404276],
  tombs: ["oneWay", 14],
  revive: ["claims", 1],
  keepTombs: ["claims", 35],
  everyone: ["forgetting", 235],
  buriedByAll: ["everything", 80],
  frameAge: ["requests", 230],
  forget: ["forgetting", 82],
  floor: ["claims", 8],
  retries: ["asking", 1422],
  union: ["moves", 113],
  renew: ["splits", 100],
  lift: ["claims", 5],
  boots: ["forgetting", 477],
  released: ["everything", 13],
  prepared: ["strangers", 44],
  above: ["everything", 23],
  withdrawn: ["everything", 1],
  letGo: ["moves", 300],
  sameLife: ["everything", 706],
  goLive: ["everything", 13],
  freeze: ["merging", 98],
  merged: ["claims", 53],
  once: ["claims", 5],
  longer: ["claims", 7],
  relay: ["oneWay", 364],
  registrar: ["asking", 11],
  reserve: ["asking", 13],
  hold: ["asking", 69],
  view: ["asking", 4685],
  grace: ["asking", 144],
  tell: ["asking", 11555],
  members: ["strangers", 429],
  observer: ["claims", 1],
  refute: ["claims", 2],
  warm: ["asking", 10],
  frames: ["askingFaulty", 2121]
}
