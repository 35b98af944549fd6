/** One key for a name of a sworm. */
export const keyOf = (sworm: string, name: string): string => `${sworm}\n${name}`
