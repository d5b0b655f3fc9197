import { Component, Suspense, useEffect, useState, type ReactNode } from "react";
import { Button, ErrorState, Loading } from "../common/ui";
import { NotLoaded, type ScreenFile } from "./screenFile";
import { serverVersion, type Version } from "./version";

interface Props {
  title: string;
  file: ScreenFile;
}

interface State {
  error: Error | undefined;
}

/** Where a screen is shown. What it throws, its missing file included, stays within its place. */
export class ScreenPlace extends Component<Props, State> {
  override state: State = { error: undefined };

  static getDerivedStateFromError(error: unknown): State {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }

  /** Who comes back to the screen later wants it tried again. */
  override componentWillUnmount(): void {
    if (this.state.error) this.props.file.renew();
  }

  override render(): ReactNode {
    const { title, file } = this.props;
    const { error } = this.state;
    if (error) return <Failure title={title} error={error} onRetry={this.#retry} />;
    const { Screen } = file;
    return (
      <Suspense fallback={<Loading />}>
        <Screen />
      </Suspense>
    );
  }

  readonly #retry = (): void => {
    this.props.file.renew();
    this.setState({ error: undefined });
  };
}

interface FailureProps {
  title: string;
  error: Error;
  onRetry: () => void;
}

function Failure({ title, error, onRetry }: FailureProps) {
  const missing = error instanceof NotLoaded;
  const version = useServerVersion(missing);
  return (
    <>
      <h1 className="visually-hidden">{title}</h1>
      <ErrorState
        title={missing ? `${title} could not be loaded` : `${title} has failed`}
        message={missing ? reason(version) : error.message}
        {...(version === "other" ? {} : { onRetry })}
      >
        {(version === "other" || version === "same") && <Button onClick={() => location.reload()}>Reload the page</Button>}
      </ErrorState>
    </>
  );
}

function reason(version: Version | undefined): string {
  if (version === "other") return "The server has another version of this page. Reloading gets it; the chat messages that are shown so far are lost.";
  return version === "no answer" ? "The server does not answer." : "A part of the page did not come from the server.";
}

function useServerVersion(wanted: boolean): Version | undefined {
  const [version, setVersion] = useState<Version>();
  useEffect(() => {
    let over = false;
    if (wanted) void serverVersion().then((answer) => over || setVersion(answer));
    return () => {
      over = true;
    };
  }, [wanted]);
  return version;
}
