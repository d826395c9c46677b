/**
 * Breaks a line at spaces so that no part is wider than `width`; a word that is wider by itself is broken
 * as well. Lines after the first begin with `indent`. Empty text is one empty line.
 */
export function wrap(text: string, width: number, indent = ''): string[] {
  const lines: string[] = []
  let line = ''
  let room = Math.max(width, 10)
  const end = () => {
    lines.push(line.trimEnd())
    line = indent
    room = Math.max(width, indent.length + 10)
  }
  for (const word of text.split(/(?<=\s)(?=\S)/)) {
    if (line.trim() !== '' && line.length + word.trimEnd().length > room) end()
    let rest = word
    while (line.length + rest.trimEnd().length > room) {
      const cut = room - line.length
      line += rest.slice(0, cut)
      rest = rest.slice(cut)
      end()
    }
    line += rest
  }
  if (line.trim() !== '' || lines.length === 0) lines.push(line.trimEnd())
  return lines
}
