//! The order of cells in their rows: each near what it is joined with, so that few lines cross.

/// How often it is gone down and up again.
const SWEEPS: usize = 8;

/// Orders the rows by barycentres, and keeps what crossed least.
pub(super) fn order(rows: &mut [Vec<usize>], above: &[Vec<usize>], below: &[Vec<usize>]) {
    let mut places = vec![0; above.len()];
    note(rows, &mut places);
    let mut best = (crossings(rows, below, &places), rows.to_vec());
    for _ in 0..SWEEPS {
        rows.iter_mut().skip(1).for_each(|row| sort(row, above, &mut places));
        rows.iter_mut().rev().skip(1).for_each(|row| sort(row, below, &mut places));
        let crossed = crossings(rows, below, &places);
        if crossed < best.0 {
            best = (crossed, rows.to_vec());
        }
    }
    rows.clone_from_slice(&best.1);
}

fn note(rows: &[Vec<usize>], places: &mut [usize]) {
    for row in rows {
        row.iter().enumerate().for_each(|(place, cell)| places[*cell] = place);
    }
}

/// Sorts a row by where what each cell is joined with stands; what is joined with nothing stays where it is.
fn sort(row: &mut [usize], joined: &[Vec<usize>], places: &mut [usize]) {
    let middle = |cell: usize| match joined[cell].len() {
        0 => places[cell] as f64,
        count => joined[cell].iter().map(|other| places[*other] as f64).sum::<f64>() / count as f64,
    };
    let mut keyed: Vec<(f64, usize)> = row.iter().map(|cell| (middle(*cell), *cell)).collect();
    keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (place, (_, cell)) in keyed.into_iter().enumerate() {
        row[place] = cell;
        places[cell] = place;
    }
}

/// How many lines cross between rows.
fn crossings(rows: &[Vec<usize>], below: &[Vec<usize>], places: &[usize]) -> usize {
    let between = |row: &Vec<usize>| {
        let mut passed: Vec<usize> = Vec::new();
        let mut crossed = 0;
        for cell in row {
            let mut ends: Vec<usize> = below[*cell].iter().map(|end| places[*end]).collect();
            ends.sort_unstable();
            // What began to the left of it and ends to the right crosses it.
            crossed += ends.iter().map(|end| passed.len() - passed.partition_point(|it| it <= end)).sum::<usize>();
            for end in ends {
                passed.insert(passed.partition_point(|it| *it <= end), end);
            }
        }
        crossed
    };
    rows.iter().map(between).sum()
}
