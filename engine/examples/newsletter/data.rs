//! The figures: read from a CSV file, ranked, and put into words. Nothing here knows of workflows.

use rejoin::Failure;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::path::Path;

/// How many topics get a section, and how many titles each names.
const TOP: usize = 3;

/// A line of the file.
#[derive(Deserialize)]
struct Row {
    date: String,
    topic: String,
    title: String,
    views: u64,
    clicks: u64,
    shares: u64,
    comments: u64,
}

/// What readers did, over any number of articles.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    pub articles: u64,
    pub views: u64,
    pub clicks: u64,
    pub shares: u64,
    pub comments: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Article {
    pub title: String,
    pub date: String,
    pub figures: Figures,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Topic {
    pub name: String,
    pub figures: Figures,
    /// Its best articles, best first.
    pub best: Vec<Article>,
}

/// What the file holds, in short.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Table {
    /// The first and the last day.
    pub period: (String, String),
    /// In the order of their names.
    pub topics: Vec<Topic>,
}

/// What the newsletter is written from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub period: (String, String),
    pub total: Figures,
    /// The topics with the most engagement, best first.
    pub top: Vec<Topic>,
}

impl Figures {
    /// A click is an interest, a share an opinion, a comment an effort.
    pub fn engagement(&self) -> u64 {
        self.clicks + 2 * self.shares + 3 * self.comments
    }

    /// So many of a thousand readers clicked.
    pub fn clicks_per_thousand(&self) -> u64 {
        (self.clicks * 1000).checked_div(self.views).unwrap_or(0)
    }
}

impl AddAssign<&Figures> for Figures {
    fn add_assign(&mut self, other: &Figures) {
        self.articles += other.articles;
        self.views += other.views;
        self.clicks += other.clicks;
        self.shares += other.shares;
        self.comments += other.comments;
    }
}

/// Reads the file, and folds its rows into topics: what a step returns is recorded, so it had better be small.
///
/// A row that cannot be understood is final: no further attempt would read it.
pub fn load(csv: &Path) -> Result<Table, Failure> {
    let mut reader = csv::Reader::from_path(csv).map_err(|error| unreadable(csv, &error, None))?;
    let header = reader.headers().map_err(|error| unreadable(csv, &error, None))?.clone();
    let mut topics: BTreeMap<String, Topic> = BTreeMap::new();
    let mut period: Option<(String, String)> = None;
    for row in reader.deserialize() {
        let row: Row = row.map_err(|error| unreadable(csv, &error, Some(&header)))?;
        let Row { date, topic: name, title, views, clicks, shares, comments } = row;
        let (first, last) = period.unwrap_or_else(|| (date.clone(), date.clone()));
        period = Some((first.min(date.clone()), last.max(date.clone())));
        let figures = Figures { articles: 1, views, clicks, shares, comments };
        let topic = topics.entry(name.clone()).or_insert_with(|| Topic { name, ..Topic::default() });
        topic.figures += &figures;
        topic.best.push(Article { title, date, figures });
    }
    let period = period.ok_or_else(|| Failure::business("no-rows", csv))?;
    let mut topics: Vec<Topic> = topics.into_values().collect();
    for topic in &mut topics {
        // Stable sorts, here and below: where two are equal, the order of lines and names decides, every time.
        topic.best.sort_by_key(|article| Reverse(article.figures.engagement()));
        topic.best.truncate(TOP);
    }
    Ok(Table { period, topics })
}

fn unreadable(csv: &Path, error: &csv::Error, header: Option<&csv::StringRecord>) -> Failure {
    let place = format!("{}, line {}", csv.display(), error.position().map_or(0, csv::Position::line));
    match error.kind() {
        csv::ErrorKind::Io(error) => Failure::transient(error),
        csv::ErrorKind::Deserialize { err, .. } => {
            let column = err.field().and_then(|field| header?.get(usize::try_from(field).ok()?));
            let column = column.map_or(String::new(), |name| format!(", column {name}"));
            Failure::business("bad-row", format!("{place}{column}: {}", err.kind()))
        }
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            Failure::business("bad-row", format!("{place}: {len} columns, where the header has {expected_len}"))
        }
        _ => Failure::business("bad-row", format!("{place}: {error}")),
    }
}

/// The topics with the most engagement, best first.
pub fn rank(mut topics: Vec<Topic>) -> Vec<Topic> {
    topics.sort_by_key(|topic| Reverse(topic.figures.engagement()));
    topics.truncate(TOP);
    topics
}

/// All topics together.
pub fn total(topics: &[Topic]) -> Figures {
    let mut total = Figures::default();
    topics.iter().for_each(|topic| total += &topic.figures);
    total
}
