import { asJsonLines, type LogEntry } from "./entry";

/** The clipboard exists only on https and localhost; elsewhere the old way still works. */
export async function copyText(text: string): Promise<void> {
  if (isSecureContext) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  const before = document.activeElement;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (before instanceof HTMLElement) before.focus();
  if (!copied) throw new Error("The browser did not allow to copy.");
}

export function downloadEntries(entries: Iterable<LogEntry>): void {
  const url = URL.createObjectURL(new Blob(asJsonLines(entries), { type: "application/jsonl" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `log-${new Date().toISOString().replaceAll(":", "-")}.jsonl`;
  link.click();
  // Not at once: the browser reads it after the click.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
