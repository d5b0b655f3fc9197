import { useEffect, useId, useRef, type ComponentProps, type ReactNode } from "react";

interface ButtonProps extends ComponentProps<"button"> {
  variant?: "plain" | "primary" | "danger";
}

export function Button({ variant = "plain", className = "", ...rest }: ButtonProps) {
  return <button type="button" {...rest} className={`button button-${variant} ${className}`.trim()} />;
}

interface PanelProps {
  title: string;
  children: ReactNode;
}

/** A section with a heading of the second level. */
export function Panel({ title, children }: PanelProps) {
  const id = useId();
  return (
    <section className="panel" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {children}
    </section>
  );
}

interface BadgeProps {
  tone?: "neutral" | "good" | "warn" | "bad" | "accent";
  children: ReactNode;
}

export function Badge({ tone = "neutral", children }: BadgeProps) {
  return <span className={`badge badge-${tone}`}>{children}</span>;
}

interface StateProps {
  title: string;
  children?: ReactNode;
}

/** Nothing is here, and that is right. */
export function EmptyState({ title, children }: StateProps) {
  return (
    <div className="state">
      <p className="state-title">{title}</p>
      {children && <p className="state-text">{children}</p>}
    </div>
  );
}

interface ErrorProps {
  title?: string;
  message: string;
  onRetry?: () => void;
  /** What else can be done. */
  children?: ReactNode;
}

export function ErrorState({ title = "Something went wrong", message, onRetry, children }: ErrorProps) {
  return (
    <div className="state state-error" role="alert">
      <p className="state-title">{title}</p>
      <p className="state-text">{message}</p>
      {onRetry && <Button onClick={onRetry}>Try again</Button>}
      {children}
    </div>
  );
}

export function Loading({ label = "Loading" }: { label?: string }) {
  return (
    <p className="loading" role="status">
      {label}…
    </p>
  );
}

interface DialogProps {
  open: boolean;
  title: string;
  onClose: () => void;
  children: ReactNode;
}

/** A modal dialog; the browser keeps the focus in it, and gives it back. */
export function Dialog({ open, title, onClose, children }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    if (!open || !dialog) return;
    dialog.showModal();
    return () => dialog.close();
  }, [open]);
  return (
    <dialog
      ref={ref}
      className="dialog"
      aria-labelledby={id}
      onCancel={(event) => {
        // Whether it closes is its owner's to say.
        event.preventDefault();
        onClose();
      }}
    >
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  );
}
