/** Whether the server's page is made of the scripts that run here; their names change with their content. */
export function namesAll(html: string, scripts: readonly string[]): boolean {
  return scripts.every((script) => html.includes(`"${script}"`));
}

export type Version = "same" | "other" | "no answer";

/** Which version of this page the server has. */
export async function serverVersion(): Promise<Version> {
  try {
    const response = await fetch("/", { cache: "no-store" });
    if (!response.ok) return "no answer";
    const scripts = [...document.querySelectorAll("script[src]")].map((script) => script.getAttribute("src") ?? "");
    return namesAll(await response.text(), scripts) ? "same" : "other";
  } catch {
    return "no answer";
  }
}
