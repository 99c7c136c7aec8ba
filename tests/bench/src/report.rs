//! The report: everything measured, as JSON for programs and Markdown for people.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use crate::{
    backlog::Backlog,
    board::Latencies,
    counts::Count,
    grown::Grown,
    hanging::Beside,
    latency::Latency,
    load::EVENT_BYTES,
    machine::Machine,
    memory::{self, Memory},
    throughput::{OtherFigures, Throughput},
};

/// All figures of one run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub throughput: Throughput,
    pub latency: Latency,
    pub hanging: Vec<Beside>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    pub other: Option<OtherFigures>,
    pub counts: Vec<Count>,
    pub backlog: Option<Backlog>,
    pub grown: Vec<Grown>,
    pub odoo: Option<Value>,
}

impl Report {
    /// The parts that were measured, as Markdown.
    pub fn to_markdown(&self) -> String {
        let mut out = String::new();
        // Writing into a String cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let m = &self.machine;
        writeln!(out, "# How fast mcp-webhookd is\n")?;
        writeln!(
            out,
            "Measured {} at commit {} (version {}, {}) on {} cores ({}), {:.0} GiB, Linux {}, {}. Load average {:.2} \
             before, {:.2} after. Receiver and load driver ran on the same machine; an event's body has {EVENT_BYTES} \
             bytes and is signed; each event is on disk before the answer, each attempt is recorded. Compare ratios \
             within this run, not figures with other machines.\n",
            m.date,
            m.commit,
            m.version,
            m.rustc,
            m.cores,
            m.cpu,
            m.memory_gib,
            m.kernel,
            m.file_system,
            m.load_before,
            m.load_after
        )?;
        if !self.throughput.cells.is_empty() {
            self.write_throughput(out)?;
        }
        if !self.latency.steady.is_empty() {
            self.write_latency(out)?;
        }
        if !self.hanging.is_empty() {
            self.write_hanging(out)?;
        }
        if let Some(memory) = &self.memory {
            write_memory(out, memory)?;
        }
        if let Some(other) = &self.other {
            self.write_other(out, other)?;
        }
        if !self.counts.is_empty() {
            write_counts(out, &self.counts)?;
        }
        if let Some(backlog) = &self.backlog {
            write_backlog(out, backlog)?;
        }
        if !self.grown.is_empty() {
            self.write_grown(out)?;
        }
        if let Some(odoo) = &self.odoo {
            write_odoo(out, odoo)?;
        }
        Ok(())
    }

    fn write_throughput(&self, out: &mut String) -> std::fmt::Result {
        let t = &self.throughput;
        writeln!(
            out,
            "## Throughput\n\n{} subscriptions of 4 lanes. A bare POST loop of the same HTTP client with 64 callers \
             made {:.0} requests/s. *Delivered* counts from the first submission to the last arrival.\n",
            t.subscriptions, t.bare_posts_per_s
        )?;
        writeln!(
            out,
            "| submitters | batch | accepted/s | delivered/s | of the bare loop | CPU-s per 1,000 | peak RSS |"
        )?;
        writeln!(out, "|--:|--:|--:|--:|--:|--:|--:|")?;
        for c in &t.cells {
            writeln!(
                out,
                "| {} | {} | {:.0} | {:.0} | {:.0} % | {:.3} | {:.0} MiB |",
                c.submitters,
                c.batch,
                c.accepted_per_s,
                c.delivered_per_s,
                c.of_bare * 100.0,
                c.cpu_s_per_1000,
                c.peak_rss_mib
            )?;
        }
        writeln!(out)
    }

    fn write_latency(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "## From submission to arrival\n\nOne event a call.\n")?;
        writeln!(out, "| | samples | p50 | p95 | p99 | CPU-s per 1,000 |\n|:--|--:|--:|--:|--:|--:|")?;
        let floors = &self.latency.floors;
        for (name, found) in [
            ("fsync of an append", floors.fsync),
            ("the same, 100/s", floors.fsync_at_100),
            ("durable commit of one row", floors.commit),
            ("the same, 100/s", floors.commit_at_100),
        ] {
            writeln!(out, "| {name} | {} | |", latencies(found))?;
        }
        for s in &self.latency.steady {
            writeln!(
                out,
                "| {:.0} events/s | {} | {:.2} |",
                s.per_s,
                latencies(s.latency),
                s.cpu_s_per_1000
            )?;
        }
        if let Some(first) = self.latency.steady.first() {
            let commit = floors.commit_at_100.p50_ms;
            writeln!(
                out,
                "\nAt 100/s the median is {:.2} times the durable commit at that pace, plus 1 ms it may be {:.2} ms.",
                first.latency.p50_ms / commit,
                2.0 * commit + 1.0
            )?;
        }
        writeln!(out)
    }

    fn write_hanging(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "## Healthy endpoints beside hanging ones\n\n16 healthy endpoints at 200 events/s; 1,000 events wait at \
             the hanging ones.\n"
        )?;
        writeln!(out, "| hanging | samples | p50 | p95 | p99 | p99 ratio |\n|--:|--:|--:|--:|--:|--:|")?;
        for b in &self.hanging {
            writeln!(out, "| {} | {} | {:.2} |", b.hanging, latencies(b.latency), b.p99_ratio)?;
        }
        writeln!(out)
    }

    fn write_other(&self, out: &mut String, other: &OtherFigures) -> std::fmt::Result {
        writeln!(out, "## Another sender under the same load\n\nOne event a request.\n")?;
        writeln!(
            out,
            "| submitters | accepted/s | delivered/s | mcp-webhookd is faster |\n|--:|--:|--:|--:|"
        )?;
        for (submitters, accepted, delivered) in &other.rates {
            let own = self.throughput.cells.iter().find(|c| (c.submitters, c.batch) == (*submitters, 1));
            let ratio = own.map_or(f64::NAN, |own| own.delivered_per_s / delivered);
            writeln!(out, "| {submitters} | {accepted:.0} | {delivered:.0} | {ratio:.1} times |")?;
        }
        writeln!(out, "\nAt 100/s: samples, p50, p95, p99: {}\n", latencies(other.at_100))
    }

    fn write_grown(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "## On a grown log\n")?;
        writeln!(
            out,
            "| deliveries in the log | store | start | 64 x 1 delivered/s | 64 x 100 delivered/s | CPU-s per 1,000 | \
             peak RSS | at 100/s p50 | p99 | changes, begin | changes, end | list, all | list, one |\n\
             |--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
        )?;
        let Some(base) = self.grown.first() else { return Ok(()) };
        for g in &self.grown {
            let of = |figure: f64, base: f64| format!("{figure:.0} ({:.0} %)", 100.0 * figure / base);
            writeln!(
                out,
                "| {} | {:.0} MiB | {:.3} s | {} | {} | {:.3} | {:.0} MiB | {:.2} ms | {:.2} ms | {} |",
                g.deliveries,
                g.store_mib,
                g.start_s,
                of(g.delivered_one_per_s, base.delivered_one_per_s),
                of(g.delivered_hundred_per_s, base.delivered_hundred_per_s),
                g.cpu_s_per_1000,
                g.peak_rss_mib,
                g.at_100.p50_ms,
                g.at_100.p99_ms,
                g.calls_ms.map(|ms| format!("{ms:.2} ms")).join(" | ")
            )?;
        }
        writeln!(out)
    }
}

fn latencies(found: Latencies) -> String {
    let Latencies { samples, p50_ms, p95_ms, p99_ms } = found;
    format!("{samples} | {p50_ms:.2} ms | {p95_ms:.2} ms | {p99_ms:.2} ms")
}

fn write_memory(out: &mut String, memory: &Memory) -> std::fmt::Result {
    writeln!(
        out,
        "## Memory\n\nA thousand subscriptions whose endpoints hang, half of them in the middle of an answer of 63 KiB; \
         8 callers with calls of about 16 MiB, 4 that list everything. Target: at most {:.0} MiB.\n",
        memory::MOST_MIB
    )?;
    writeln!(out, "| load | events accepted | peak RSS |\n|:--|--:|--:|")?;
    writeln!(out, "| none | 0 | {:.0} MiB |", memory.idle_mib)?;
    for series in &memory.series {
        writeln!(out, "| {} | {} | {:.0} MiB |", series.what, series.accepted, series.peak_mib)?;
    }
    writeln!(out)
}

fn write_counts(out: &mut String, counts: &[Count]) -> std::fmt::Result {
    writeln!(
        out,
        "## Instructions\n\nOf the sidecar per delivery, all threads, as callgrind counts them.\n"
    )?;
    writeln!(out, "| batch | thousand instructions |\n|--:|--:|")?;
    for count in counts {
        writeln!(out, "| {} | {:.1} |", count.batch, count.thousand_instructions)?;
    }
    writeln!(out)
}

fn write_backlog(out: &mut String, b: &Backlog) -> std::fmt::Result {
    writeln!(out, "## A backlog of {} pending deliveries\n", b.pending)?;
    writeln!(out, "| | |\n|:--|--:|")?;
    writeln!(out, "| accepted (16 submitters, batches of 1,000) | {:.0}/s |", b.accepted_per_s)?;
    writeln!(out, "| start, from exec to healthy | {:.3} s |", b.start_s)?;
    writeln!(out, "| start after SIGKILL | {:.3} s |", b.start_after_kill_s)?;
    let [filling, idle, draining] = b.peak_rss_mib;
    writeln!(out, "| peak RSS while they pile up | {filling:.0} MiB |")?;
    writeln!(out, "| peak RSS after a start | {idle:.0} MiB |")?;
    writeln!(out, "| peak RSS while they drain | {draining:.0} MiB |")?;
    writeln!(out, "| drained | {:.0}/s |", b.drained_per_s)?;
    writeln!(out, "| CPU-s per 1,000 drained | {:.3} |", b.drain_cpu_s_per_1000)?;
    writeln!(out, "| store | {:.0} MiB |\n", b.store_mib)
}

/// The Odoo series: an object of tables, each with named rows of named figures.
fn write_odoo(out: &mut String, odoo: &Value) -> std::fmt::Result {
    writeln!(out, "## In Odoo\n")?;
    for (title, rows) in odoo.as_object().into_iter().flatten() {
        let Some(rows) = rows.as_object().filter(|rows| !rows.is_empty()) else { continue };
        let columns: Vec<&String> = rows
            .values()
            .next()
            .and_then(Value::as_object)
            .map(|row| row.keys().collect())
            .unwrap_or_default();
        writeln!(out, "| {title} |{}", columns.iter().map(|name| format!(" {name} |")).collect::<String>())?;
        writeln!(out, "|:--|{}", "--:|".repeat(columns.len()))?;
        for (name, row) in rows {
            let figure = |column: &&String| match row[column.as_str()].as_f64() {
                Some(figure) => format!(" {figure:.2} |"),
                None => " |".to_owned(),
            };
            writeln!(out, "| {name} |{}", columns.iter().map(figure).collect::<String>())?;
        }
        writeln!(out)?;
    }
    Ok(())
}
