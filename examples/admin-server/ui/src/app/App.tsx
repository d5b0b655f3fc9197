import { Component, lazy, Suspense, type ReactNode } from "react";
import { ErrorState, Loading } from "../common/ui";
import "./app.css";
import { usePathname } from "./router";
import { Shell } from "./Shell";

const LoginPage = lazy(() => import("../login/LoginPage"));

export function App() {
  const path = usePathname();
  return (
    <Failures>
      {path === "/login" ? (
        <Suspense fallback={<Loading />}>
          <LoginPage />
        </Suspense>
      ) : (
        <Shell path={path} />
      )}
    </Failures>
  );
}

/** What a screen throws, its missing file after an update of the server included, must not leave an empty page. */
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
