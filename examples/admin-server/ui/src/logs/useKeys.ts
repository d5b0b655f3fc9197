import { useEffect } from "react";

/** Where a space or a slash is a letter, or presses what has the focus. */
function takesKeys(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("input, textarea, select, button, a, dialog, [contenteditable]") !== null;
}

/** "/" searches, the space bar pauses; not while typing. */
export function useKeys(search: () => void, pause: () => void): void {
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || takesKeys(event.target)) return;
      if (event.key === "/") search();
      else if (event.key === " ") pause();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [search, pause]);
}
