import { useEffect } from "react";
import { usePathname } from "../app/router";
import { guildOf, queryWithGuild } from "./address";
import { chat } from "./feed";

/** The guild that is shown is in the page's address: it survives a reload and can be sent to someone. */
export function useGuildInAddress(active: string | undefined): void {
  const path = usePathname();
  useEffect(() => {
    const follow = (): void => {
      const wanted = guildOf(location.search);
      if (wanted !== undefined) chat.select(wanted);
      write();
    };
    follow();
    window.addEventListener("popstate", follow);
    return () => window.removeEventListener("popstate", follow);
  }, [path]);
  useEffect(write, [active]);
}

function write(): void {
  const { active } = chat.view();
  if (active === undefined || active === guildOf(location.search)) return;
  history.replaceState(history.state, "", `${location.pathname}${queryWithGuild(location.search, active)}${location.hash}`);
}
