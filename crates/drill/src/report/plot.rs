//! Pictures as inline SVG: lines over time, bars of health, shades where the primary was broken.

use std::fmt::Write;

use crate::frame::Frame;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const HEIGHT: f64 = 130.0;
const TOP: f64 = 22.0;
const BAR: f64 = 16.0;

/// A line: its name, the class that colours it, and its values.
pub(super) struct Line<'a> {
    pub(super) name: String,
    pub(super) class: &'static str,
    pub(super) value: Box<dyn Fn(&Frame) -> f64 + 'a>,
}

/// Lines over time. Numbers are written with one decimal: a page must not depend on the machine.
pub(super) fn lines(title: &str, frames: &[Frame], lines: &[Line<'_>]) -> String {
    let end = end(frames);
    let values = lines.iter().flat_map(|line| frames.iter().map(|frame| (line.value)(frame)));
    let top = nice(values.fold(0.0, f64::max));
    let y = |value: f64| TOP + HEIGHT * (1.0 - value / top);
    let mut svg = open(title, TOP + HEIGHT + 20.0);
    shades(&mut svg, frames, TOP, HEIGHT);
    for part in [0.0, 0.5, 1.0] {
        let (at, value) = (y(top * part), top * part);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0,
        );
    }
    for line in lines {
        let points: Vec<String> = frames
            .iter()
            .map(|frame| format!("{:.1},{:.1}", x(frame.seconds, end), y((line.value)(frame))))
            .collect();
        let _ = write!(svg, "<polyline class=\"{}\" points=\"{}\"/>", line.class, points.join(" "));
    }
    legend(&mut svg, lines);
    seconds(&mut svg, end, TOP + HEIGHT + 14.0);
    svg + "</svg>\n"
}

/// One bar per backend, coloured by health.
pub(super) fn health(frames: &[Frame]) -> String {
    let Some(first) = frames.first() else { return String::new() };
    let end = end(frames);
    #[expect(clippy::cast_precision_loss, reason = "a few backends")]
    let top = |number: usize| TOP + number as f64 * (BAR + 6.0);
    let bottom = top(first.backends.len());
    let mut svg = open("health", bottom + 18.0);
    for (number, backend) in first.backends.iter().enumerate() {
        let y = top(number);
        let _ = write!(
            svg,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 12.0,
            escape(&backend.name)
        );
        let mut from = 0.0;
        for frame in frames {
            let Some(backend) = frame.backends.get(number) else { continue };
            let (left, right) = (x(from, end), x(frame.seconds, end));
            let _ = write!(
                svg,
                "<rect class=\"{}\" x=\"{left:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\">\
                 <title>{:.1} s: {}</title></rect>",
                colour(&backend.health),
                right - left,
                frame.seconds,
                escape(&backend.health)
            );
            from = frame.seconds;
        }
    }
    seconds(&mut svg, end, bottom + 10.0);
    svg + "</svg>\n"
}

/// Makes a text fit for a page.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn open(title: &str, height: f64) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height:.1}\" role=\"img\"><title>{0}</title>\
         <text class=\"name\" x=\"0\" y=\"12\">{0}</text>",
        escape(title)
    )
}

fn colour(health: &str) -> &'static str {
    match health {
        "serving" | "unknown" => "serving",
        "ejected" => "ejected",
        "probing" => "probing",
        _ => "suspect",
    }
}

fn x(seconds: f64, end: f64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * seconds / end
}

fn end(frames: &[Frame]) -> f64 {
    frames.last().map_or(1.0, |frame| frame.seconds.max(1.0))
}

/// Where the primary was broken.
fn shades(svg: &mut String, frames: &[Frame], top: f64, height: f64) {
    let end = end(frames);
    let mut from = 0.0;
    for frame in frames {
        if frame.broken {
            let (left, right) = (x(from, end), x(frame.seconds, end));
            let _ = write!(
                svg,
                "<rect class=\"broken\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" \
                 height=\"{height:.1}\"><title>{}</title></rect>",
                right - left,
                escape(&frame.primary)
            );
        }
        from = frame.seconds;
    }
}

fn legend(svg: &mut String, lines: &[Line<'_>]) {
    let mut at = WIDTH - RIGHT;
    for line in lines.iter().rev() {
        let _ = write!(
            svg,
            "<text class=\"key {}\" x=\"{at:.1}\" y=\"12\" text-anchor=\"end\">{}</text>",
            line.class,
            escape(&line.name)
        );
        #[expect(clippy::cast_precision_loss, reason = "the length of a name")]
        let width = line.name.chars().count() as f64 * 7.5 + 16.0;
        at -= width;
    }
}

fn seconds(svg: &mut String, end: f64, y: f64) {
    for part in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let at = end * part;
        let _ = write!(
            svg,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{at:.0} s</text>",
            x(at, end)
        );
    }
}

/// The next round number: 1, 2 or 5 times a power of ten.
fn nice(value: f64) -> f64 {
    if value <= 1.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|top| *top >= value).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        let round = [(0.0, "1"), (1.0, "1"), (3.0, "5"), (99.0, "100"), (101.0, "200")];
        for (value, top) in round {
            assert_eq!(nice(value).to_string(), top);
        }
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        assert_eq!(escape("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }
}
