import { useSyncExternalStore, type ComponentProps, type MouseEvent } from "react";

const MOVED = "app:moved";

/** The path of the page, which follows the browser's history. */
export function usePathname(): string {
  return useSyncExternalStore(subscribe, () => location.pathname);
}

export function navigate(to: string, { replace = false } = {}): void {
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  window.dispatchEvent(new Event(MOVED));
  window.scrollTo(0, 0);
}

/** A link within the page; what a browser does with other clicks it still does. One to where we are changes nothing: a screen may keep its state in the address. */
export function Link({ href = "/", ...rest }: ComponentProps<"a">) {
  const follow = (event: MouseEvent): void => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    if (href !== location.pathname) navigate(href);
  };
  return <a href={href} {...rest} onClick={follow} />;
}

function subscribe(listener: () => void): () => void {
  window.addEventListener("popstate", listener);
  window.addEventListener(MOVED, listener);
  return () => {
    window.removeEventListener("popstate", listener);
    window.removeEventListener(MOVED, listener);
  };
}
