//! The workflows: a newsletter, which calls an analysis and three writers, and waits for an editor.

use crate::data::{self, Figures, Report, Table, Topic};
use crate::ledger::Ledger;
use rejoin::time::{days, minutes};
use rejoin::{Attempt, Context, Failure, Step, Workflow, join, try_join_all};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

// Typed names: callers and handlers cannot disagree on types.
pub const NEWSLETTER: Workflow<Order, String> = Workflow::named("write-newsletter");
pub const ANALYZE: Workflow<PathBuf, Report> = Workflow::named("analyze-engagement");
pub const SECTION: Workflow<Section, String> = Workflow::named("write-section");

/// A newsletter to be written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    csv: PathBuf,
    out: PathBuf,
}

/// A section to be written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Section {
    rank: usize,
    topic: Topic,
}

/// What the editor says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Review {
    pub approved: bool,
    pub note: String,
}

pub async fn newsletter(ctx: Context, order: Order, ledger: Ledger) -> Result<String, Failure> {
    // Suspends here. The result comes exactly once, whatever happens to the process meanwhile.
    let report = ctx.call(&ANALYZE, order.csv).key("analysis").timeout(minutes(5)).await?;

    let sections = report.top.iter().enumerate().map(|(index, topic)| {
        let section = Section { rank: index + 1, topic: topic.clone() };
        ctx.call(&SECTION, section).key(format!("section: {}", topic.name)).timeout(minutes(5))
    });
    let sections = try_join_all(sections).await?;

    match ctx.signal::<Review>("review").within(days(2)).await? {
        Some(review) if review.approved => {
            let text = compose(&report, &sections, &review);
            let content = text.clone();
            step(&ctx, &ledger, "publish", move || Ok(write_file(&order.out, &content)?)).await?;
            Ok(text)
        }
        Some(review) => Err(Failure::business("rejected", review.note)),
        None => Err(Failure::business("no review in two days", ())),
    }
}

pub async fn analyze(ctx: Context, csv: PathBuf, ledger: Ledger) -> Result<Report, Failure> {
    let Table { period, topics } = step(&ctx, &ledger, "load", move || data::load(&csv)).await?;
    let all = topics.clone();
    // Both steps are executed at the same time.
    let (top, total) = join((
        step(&ctx, &ledger, "rank", move || Ok(data::rank(topics.clone()))),
        step(&ctx, &ledger, "total", move || Ok(data::total(&all))),
    ))
    .await;
    Ok(Report { period, total: total?, top: top? })
}

pub async fn section(ctx: Context, section: Section, ledger: Ledger) -> Result<String, Failure> {
    let name = format!("write section: {}", section.topic.name);
    step(&ctx, &ledger, &name, move || Ok(write_section(&section))).await
}

/// A step that leaves a line in the ledger before it returns. It runs on a thread where it may block.
fn step<T, F>(ctx: &Context, ledger: &Ledger, name: &str, work: F) -> Step<T>
where
    T: Serialize + DeserializeOwned + 'static,
    F: Fn() -> Result<T, Failure> + Send + Sync + 'static,
{
    let (ledger, noted) = (ledger.clone(), name.to_owned());
    let noting = move |attempt: Attempt| -> Result<T, Failure> {
        let result = work()?;
        ledger.note(&noted, &attempt)?;
        Ok(result)
    };
    ctx.step(name, noting).retry(3)
}

impl Order {
    /// An order that means the same files wherever the program is started again.
    pub fn new(csv: &Path, out: &Path) -> io::Result<Order> {
        Ok(Order { csv: std::path::absolute(csv)?, out: std::path::absolute(out)? })
    }

    /// The run's idempotency key: the paths, and the content of the figures, so that new figures are a new newsletter.
    pub fn key(&self) -> io::Result<String> {
        let content = fs::read(&self.csv)
            .map_err(|error| io::Error::new(error.kind(), format!("failed to read {}: {error}", self.csv.display())))?;
        let mut hasher = blake3::Hasher::new();
        for part in [self.csv.as_os_str().as_encoded_bytes(), self.out.as_os_str().as_encoded_bytes(), &content] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        Ok(hasher.finalize().to_hex()[..32].to_owned())
    }
}

fn write_section(Section { rank, topic }: &Section) -> String {
    let Figures { articles, views, shares, comments, .. } = &topic.figures;
    let mut text = format!(
        "## {rank}. {}\n\n{articles} articles, {views} views. Of a thousand readers {} clicked; {shares} shared, and \
         {comments} had something to say.\n\n",
        topic.name,
        topic.figures.clicks_per_thousand(),
    );
    for article in &topic.best {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "- *{}* ({}), {} views", article.title, article.date, article.figures.views);
    }
    text
}

fn compose(report: &Report, sections: &[String], review: &Review) -> String {
    let (first, last) = &report.period;
    let Figures { articles, views, shares, comments, .. } = &report.total;
    format!(
        "# What our readers cared about\n\n{first} to {last}: {articles} articles, {views} views, {shares} shares, \
         {comments} comments.\n\n{}\nThe editor says: {}\n",
        sections.join("\n"),
        review.note,
    )
}

/// Writes the file whole or not at all, however often a crash makes this happen again.
fn write_file(path: &Path, content: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    // The new name is durable once its folder is.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
