import { useState } from "react";
import { forgetDrafts } from "../chat/drafts";
import { post } from "../common/api";
import { displayName, type Me } from "../common/me";
import { Badge, Button } from "../common/ui";
import icon from "./icon.svg";
import { Link } from "./router";
import { ROUTES, type Route } from "./routes";

interface Props {
  me: Me;
  current: Route | undefined;
  unread: number;
}

export function Header({ me, current, unread }: Props) {
  const admin = me.role === "admin";
  return (
    <header className="app-header">
      <Link href="/" className="app-product">
        <img src={icon} alt="" width="24" height="24" />
        Slime Admin
      </Link>
      <nav className="app-nav" aria-label="Screens">
        {ROUTES.filter(({ adminsOnly }) => admin || !adminsOnly).map((route) => (
          <Link key={route.path} href={route.path} aria-current={route === current ? "page" : undefined}>
            {route.title}
            {route.path === "/chat" && unread > 0 && (
              <>
                {" "}
                <Badge tone="accent">
                  {unread > 99 ? "99+" : unread}
                  <span className="visually-hidden"> unread</span>
                </Badge>
              </>
            )}
          </Link>
        ))}
      </nav>
      <Account me={me} />
    </header>
  );
}

function Account({ me }: { me: Me }) {
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState(false);

  async function logOut(): Promise<void> {
    setBusy(true);
    setFailed(false);
    try {
      await post("/api/auth/logout");
      forgetDrafts(sessionStorage);
      // A new page: nothing of what this user saw stays in memory.
      location.assign("/login");
    } catch {
      setBusy(false);
      setFailed(true);
    }
  }

  return (
    <div className="app-account">
      <span className="app-user" dir="auto" title={displayName(me)}>
        {displayName(me)}
      </span>
      <Badge tone={me.role === "admin" ? "bad" : me.role === "club" ? "warn" : "neutral"}>{me.role}</Badge>
      <Button disabled={busy} onClick={() => void logOut()}>
        Log out
      </Button>
      <span role="alert" className="app-failure">
        {failed && "The logout failed. Try again."}
      </span>
    </div>
  );
}
