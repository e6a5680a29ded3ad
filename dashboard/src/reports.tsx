import { useState } from "preact/hooks";
import type { Report, ReportState } from "./api";
import { bytes, count, dollars, NONE, soon } from "./format";
import type { View } from "./state";

const STATES: Record<ReportState, { label: string; tone: string }> = {
  NotRun: { label: "Not run yet", tone: "quiet" },
  Waiting: { label: "Waiting", tone: "busy" },
  Running: { label: "Running", tone: "busy" },
  Succeeded: { label: "Succeeded", tone: "good" },
  Partial: { label: "Partial", tone: "warn" },
  Failed: { label: "Failed", tone: "bad" },
};

/** The newest run of each report. */
export function Reports({ view }: { view: View | null }) {
  const reports = view?.reports ?? [];
  return (
    <section class="panel reports" aria-label="Reports">
      <div class="panel-head">
        <h2>Reports</h2>
      </div>
      {view !== null && reports.length === 0 ? (
        <div class="empty">
          <strong>No reports in this pipeline</strong>
          <p>
            Add one to the file under <code>spec.reports</code>, for instance{" "}
            <code>builtin: daily-ohlcv</code>.
          </p>
        </div>
      ) : (
        <ul class="fades">
          {reports.map((report) => (
            <li key={report.name}>
              <ReportCard report={report} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function ReportCard({ report }: { report: Report }) {
  const { label, tone } = STATES[report.state];
  return (
    <article>
      <h3>
        <span class="report-name">{report.name}</span>
        <span class="state" data-tone={tone}>
          {label}
        </span>
      </h3>
      {report.state === "NotRun" ? (
        <p class="when">
          {report.nextRun === null ? (
            <>
              Run it by hand: <code>stockpipe report {report.name}</code>
            </>
          ) : (
            `First run ${soon(report.nextRun, new Date())}`
          )}
        </p>
      ) : (
        <dl class="facts">
          <Fact name="Data date" value={report.dataDate ?? NONE} />
          {tone !== "busy" && (
            <>
              <Fact name="Rows" value={count(report.rows)} />
              <Fact name="Scanned" value={bytes(report.scannedBytes)} />
              <Fact name="Cost" value={dollars(report.costUsd)} />
            </>
          )}
        </dl>
      )}
      {report.message !== null && (
        <p class="message" data-tone={tone} title={report.message}>
          {report.message}
        </p>
      )}
      {report.output !== null && <Output address={report.output} />}
    </article>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

/** Where the result is, with a button that copies it. */
function Output({ address }: { address: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(address);
      setCopied(true);
      window.setTimeout(() => {
        setCopied(false);
      }, 1500);
    } catch {
      // Without the permission the address can still be selected by hand.
    }
  };
  return (
    <p class="output">
      <code title={address}>
        <bdi>{address}</bdi>
      </code>
      <button type="button" onClick={() => void copy()} aria-label={`Copy the address ${address}`}>
        {copied ? "Copied" : "Copy"}
      </button>
    </p>
  );
}
