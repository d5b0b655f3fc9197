/** A name as part of a text, where no element can hold it: what it does to the direction of writing ends with it. */
export function isolated(name: string): string {
  return `\u2068${undirected(name)}\u2069`;
}

/** Without the characters that turn the direction of what follows. */
export function undirected(text: string): string {
  return text.replaceAll(/[\u202A-\u202E\u2066-\u2069]/g, "");
}
