"""Reports, for a person."""

from typing import Any


def show(report: dict[str, Any]) -> str:
    """Write a report as lines."""
    model, tested, trained = report["model"], report["tested"], report["trained"]
    verified, releases = report["verified"], len(report["releases"])
    lines = [
        f"{report['dataset']} {report['release']}: verified, content {report['content_sha256'][:12]}",
        f"  {verified['files']} files, {verified['rows']:,} rows, {verified['bytes']:,} bytes",
        f"  trained on {trained['flights']:,} flights until {trained['to'][:10]} ({releases} releases), {trained['late_share']:.1%} of them late",
        f"  tested on {tested['flights']:,} flights from {tested['from'][:10]} to {tested['to'][:10]}, {tested['late_share']:.1%} of them late",
        f"  {'':14}{'AUC':>8}  {'95 % interval':17}{'Brier':>8}  {'95 % interval':17}{'cal. error':>10}",
        _row("model", model),
        *(_row(f"rule: {name}", of) for name, of in report["baselines"].items()),
        f"  AUC above the rule of airport and hour by {_between(report['baselines']['hour']['auc_gain'])}",
        "  calibration    predicted  observed  flights",
        *(f"  {'':14}{b['predicted']:>10.3f}{b['observed']:>10.3f}{b['flights']:>9,}" for b in model["calibration"]),
    ]
    before = report["before"]
    if before is None:
        lines.append("  there is no model before it")
    elif "skipped" in before:
        lines.append(f"  beside the model of {before['release']}: not compared: {before['skipped']}")
    else:
        verdict = f"{'WORSE' if before['worse'] else 'not worse'} by more than {before['margin']} and noise"
        lines += [
            _row("model before", before),
            f"  beside the model of {before['release']}: AUC changes by {_between(before['auc_gain'])}: {verdict}",
        ]
    lines += [f"  NOT GOOD ENOUGH: {fault}" for fault in report["faults"]]
    return "\n".join(lines)


def _row(name: str, of: dict[str, Any]) -> str:
    error = f"{of['calibration_error']:>10.3f}" if "calibration_error" in of else ""
    return f"  {name:14}{of['auc']['value']:>8.4f}  {_span(of['auc'])}{of['brier']['value']:>8.4f}  {_span(of['brier'])}{error}"


def _span(of: dict[str, float]) -> str:
    return f"{of['low']:.4f} … {of['high']:.4f}  "


def _between(of: dict[str, float]) -> str:
    return f"{of['value']:+.4f} ({of['low']:+.4f} … {of['high']:+.4f})"
