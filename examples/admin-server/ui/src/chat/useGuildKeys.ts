import { useEffect } from "react";
import { chat } from "./feed";
import { neighbour } from "./neighbour";

/** Alt and an arrow lead to the guild before or after. */
export function useGuildKeys(): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      if (!event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
      const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
      if (step === 0) return;
      event.preventDefault();
      const { active, rooms } = chat.view();
      const next = neighbour(rooms.map(({ guildId }) => guildId), active, step);
      if (next !== undefined) chat.select(next);
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, []);
}
