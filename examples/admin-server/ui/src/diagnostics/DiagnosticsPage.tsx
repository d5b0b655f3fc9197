import { useMe } from "../common/me";
import { DiagnosticsCard } from "./DiagnosticsCard";
import "./diagnostics.css";
import { DiagWidget } from "./DiagWidget";
import { LivePanel } from "./LivePanel";
import "./tables.css";

export default function DiagnosticsPage() {
  const me = useMe();
  const admin = me?.role === "admin";
  return (
    <div className="diagnostics">
      <h1>Diagnostics</h1>
      {admin && <LivePanel />}
      <div className="diagnostics-columns">
        <DiagWidget />
        <DiagnosticsCard />
      </div>
      {me && !admin && <p className="diagnostics-note">Live figures and charts are for administrators.</p>}
    </div>
  );
}
