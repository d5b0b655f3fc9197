import { Component, type ReactNode } from "react";
import { ErrorState } from "../common/ui";
import "./app.css";
import { usePathname } from "./router";
import { LOGIN } from "./routes";
import { ScreenPlace } from "./ScreenPlace";
import { Shell } from "./Shell";

export function App() {
  const path = usePathname();
  return <Failures>{path === "/login" ? <ScreenPlace title="The login" file={LOGIN} /> : <Shell path={path} />}</Failures>;
}

/** What fails outside of a screen must not leave an empty page. */
class Failures extends Component<{ children: ReactNode }, { message?: string }> {
  override state: { message?: string } = {};

  static getDerivedStateFromError(error: unknown): { message: string } {
    return { message: error instanceof Error ? error.message : String(error) };
  }

  override render(): ReactNode {
    const { message } = this.state;
    if (message === undefined) return this.props.children;
    return (
      <main>
        <h1 className="visually-hidden">Slime Admin</h1>
        <ErrorState title="The page has failed" message={message} onRetry={() => location.reload()} />
      </main>
    );
  }
}
