// SPDX-License-Identifier: GPL-2.0

//! Costs as plots, the same to the byte from the same figures.

use super::{
    Figures,
    readme::thousands, //
};
use crate::{
    ctx::Ctx,
    ui, //
};
use anyhow::{
    Result,
    bail, //
};
use fs_err as fs;
use plotters::prelude::*;

/// How large a plot is, in pixels.
const SIZE: (u32, u32) = (760, 420);

/// Colours that are told apart by who sees no red or green (Okabe and Ito).
const COLOURS: [RGBColor; 4] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
];

/// Costs by how many there are of something, on axes with powers of ten.
pub struct Plot {
    /// The name of its file in `docs/`, if it has one.
    pub file: Option<&'static str>,
    pub title: &'static str,
    /// Of what there are more and more.
    of: &'static str,
    lines: &'static [Line],
}

struct Line {
    name: &'static str,
    /// The cases: `#` is in the place of the number.
    cases: &'static str,
}

/// All of them.
pub const ALL: [Plot; 3] = [
    Plot {
        file: Some("cost-of-many.svg"),
        title: "Many sockets are dumped: instructions for each",
        of: "bound sockets in the namespace",
        lines: &[
            Line {
                name: "plain calls, the same state",
                cases: "dump by system calls: full state",
            },
            Line {
                name: "dump of the namespace, hash table of 512 slots",
                cases: "dump of the namespace: per socket of #",
            },
            Line {
                name: "dump of the namespace, 65,536 slots",
                cases: "dump of the namespace: per socket of #, 65,536 slots",
            },
            Line {
                name: "sock_diag, which tells less",
                cases: "sock_diag: per socket of #",
            },
        ],
    },
    Plot {
        file: None,
        title: "A socket is found in a process: instructions",
        of: "sockets that the process has open",
        lines: &[
            Line {
                name: "by inode",
                cases: "find by inode: # sockets",
            },
            Line {
                name: "by pidfd and fd",
                cases: "find by pidfd and fd: # sockets",
            },
        ],
    },
    Plot {
        file: None,
        title: "A socket is found among processes: instructions",
        of: "processes, three files in each",
        lines: &[
            Line {
                name: "by inode",
                cases: "find by inode: # processes",
            },
            Line {
                name: "by pidfd and fd",
                cases: "find by pidfd and fd: # processes",
            },
        ],
    },
];

impl Line {
    /// How many there are of something, and what it costs then. A case without a number costs the
    /// same at both ends.
    fn points(&self, figures: &Figures, ends: Option<[u64; 2]>) -> Vec<(u64, u64)> {
        let Some((before, behind)) = self.cases.split_once('#') else {
            let cost = figures.get(self.cases).copied();
            let ends = ends.into_iter().flatten();
            return ends.filter_map(|count| Some((count, cost?))).collect();
        };
        let mut points: Vec<_> = figures
            .iter()
            .filter_map(|(case, cost)| {
                let number = case.strip_prefix(before)?.strip_suffix(behind)?;
                Some((number.replace(',', "").parse().ok()?, *cost))
            })
            .collect();
        points.sort_unstable();
        points
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is drawn")]
fn point((x, y): (u64, u64)) -> (f64, f64) {
    (x as f64, y as f64)
}

impl Plot {
    /// The plot as an image.
    pub fn svg(&self, figures: &Figures) -> Result<String> {
        let of_cases = |line: &Line| line.points(figures, None);
        let counts: Vec<_> = self.lines.iter().flat_map(of_cases).collect();
        let (Some((first, _)), Some((last, _))) = (counts.iter().min(), counts.iter().max()) else {
            bail!("no figures for the plot {:?}", self.title);
        };
        let ends = [*first, *last];
        let (begin, end) = point(ends.into());
        let lines: Vec<_> = self
            .lines
            .iter()
            .map(|line| {
                let points = line.points(figures, Some(ends)).into_iter();
                (line.name, points.map(point).collect::<Vec<_>>())
            })
            .collect();
        let costs = lines.iter().flat_map(|(_, points)| points).map(|(_, y)| *y);
        let (low, high) = costs.fold((f64::MAX, 0.0_f64), |(low, high), cost| {
            (low.min(cost), high.max(cost))
        });
        // One decade more, for the names of the lines.
        let costs = decade(low, f64::floor)..decade(high, f64::ceil) * 10.0;

        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, (FONT, 18))
            .margin(16)
            .margin_right(44)
            .x_label_area_size(42)
            .y_label_area_size(96)
            .build_cartesian_2d((begin..end).log_scale(), costs.log_scale())?;
        chart
            .configure_mesh()
            .label_style((FONT, 14))
            .axis_desc_style((FONT, 14))
            .x_desc(self.of)
            .y_desc("instructions")
            .x_label_formatter(&number)
            .y_label_formatter(&number)
            .light_line_style(TRANSPARENT)
            .draw()?;
        for ((name, points), colour) in lines.into_iter().zip(COLOURS) {
            let dots = points.iter().map(|at| Circle::new(*at, 3, colour.filled()));
            chart.draw_series(dots)?;
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2))
                });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font((FONT, 14))
            .background_style(WHITE)
            .border_style(TRANSPARENT)
            .draw()?;
        area.present()?;
        drop(chart);
        drop(area);
        Ok(svg)
    }
}

/// Writes those that documents show into the repository.
pub fn update(ctx: &Ctx, figures: &Figures) -> Result<()> {
    for plot in &ALL {
        if let Some(file) = plot.file {
            let path = format!("docs/{file}");
            fs::write(ctx.repo(&path), plot.svg(figures)?)?;
            ui::note(&format!("{path}: written"));
        }
    }
    Ok(())
}

const FONT: &str = "sans-serif";

/// The power of ten at or beside a number.
fn decade(number: f64, round: fn(f64) -> f64) -> f64 {
    10_f64.powf(round(number.log10()))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "powers of ten"
)]
#[expect(clippy::trivially_copy_pass_by_ref, reason = "plotters wants it so")]
fn number(number: &f64) -> String {
    thousands(number.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        serde_json::from_str(include_str!("../../../userspace/bench/figures.json")).unwrap()
    }

    #[test]
    fn numbers_are_taken_from_the_names_in_their_order() {
        let line = Line {
            name: "",
            cases: "find: # files",
        };
        let names = ["find: 1,000 files", "find: 20 files", "find: 20 sockets"];
        let figures = names
            .iter()
            .zip(1..)
            .map(|(name, cost)| ((*name).to_owned(), cost));
        let points = line.points(&figures.collect(), None);
        assert_eq!(points, [(20, 2), (1000, 1)]);
    }

    /// A case that was given another name would be gone without a word.
    #[test]
    fn each_line_has_points() {
        for line in ALL.iter().flat_map(|plot| plot.lines) {
            assert!(
                line.points(&figures(), Some([1, 2])).len() > 1,
                "{}",
                line.cases
            );
        }
    }

    /// Nobody draws by hand.
    #[test]
    fn docs_have_the_plots_of_the_figures_of_the_repository() {
        for plot in &ALL {
            let Some(file) = plot.file else { continue };
            let path = format!("{}/../docs/{file}", env!("CARGO_MANIFEST_DIR"));
            assert_eq!(
                std::fs::read_to_string(path).unwrap(),
                plot.svg(&figures()).unwrap()
            );
        }
    }
}
