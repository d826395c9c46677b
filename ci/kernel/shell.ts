/** One word for a POSIX shell, whatever it holds. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

/** `export` lines for an environment; names that no shell can hold are left out. */
export function exports(environment: Readonly<Record<string, string | undefined>>): string {
  return Object.entries(environment)
    .filter((entry): entry is [string, string] => entry[1] !== undefined && /^[A-Za-z_]\w*$/.test(entry[0]))
    .map(([name, value]) => `export ${name}=${quote(value)}\n`)
    .join('')
}
