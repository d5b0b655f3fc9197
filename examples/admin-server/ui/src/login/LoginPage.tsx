import { useEffect, useState } from "react";
import icon from "../app/icon.svg";
import { safeReturnTo } from "../app/paths";
import { ApiError, post } from "../common/api";
import { displayName } from "../common/me";
import { Button, Loading } from "../common/ui";
import { DEMO_USERS, isDemo } from "./demo";
import "./login.css";
import { useLogin } from "./useLogin";

/** Each way on loads a new page: nothing of another user stays in memory. */
export default function LoginPage() {
  const { me, asking } = useLogin();
  const next = safeReturnTo(new URLSearchParams(location.search).get("returnTo"), location.origin) ?? "/";
  useEffect(() => {
    document.title = "Log in · Slime Admin";
  }, []);
  return (
    <main className="login">
      <div className="login-card">
        <h1>
          <img src={icon} alt="" width="32" height="32" />
          Slime Admin
        </h1>
        {me && (
          <p>
            You are logged in as <bdi>{displayName(me)}</bdi>. <a href={next}>{next === "/" ? "To the chat" : "Go on"}</a>
          </p>
        )}
        {isDemo() ? <DemoLogin next={next} /> : asking ? <Loading /> : !me && <HowToGetIn next={next} />}
      </div>
    </main>
  );
}

function DemoLogin({ next }: { next: string }) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState("");

  async function logIn(user: string): Promise<void> {
    setBusy(true);
    setFailure("");
    try {
      await post("/api/auth/demo", { user });
      location.assign(next);
    } catch (reason) {
      setFailure(reason instanceof ApiError ? `The login failed. ${reason.message}` : "The login failed.");
      setBusy(false);
    }
  }

  return (
    <>
      <p>This is a demo. Choose who you are:</p>
      <ul className="login-users">
        {DEMO_USERS.map(({ user, label, about }) => (
          <li key={user}>
            <Button variant="primary" disabled={busy} aria-describedby={`login-${user}`} onClick={() => void logIn(user)}>
              {label}
            </Button>
            <span id={`login-${user}`}>{about}</span>
          </li>
        ))}
      </ul>
      <p role="alert" className="login-failure">
        {failure}
      </p>
    </>
  );
}

function HowToGetIn({ next }: { next: string }) {
  return (
    <>
      <p>You are not logged in.</p>
      <p>
        Log in where your account is, and come back. An operator of this server can also make a login with{" "}
        <code>admin-server token</code>.
      </p>
      <p>
        <a href={next}>Try again</a>
      </p>
    </>
  );
}
