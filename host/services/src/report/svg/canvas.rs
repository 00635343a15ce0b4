//! A growing SVG picture with the few shapes the charts need. All text is escaped here.

use std::fmt::Write as _;

use super::super::format::escape;

/// A point in picture units.
pub(super) type Point = (f64, f64);

/// A rectangle in picture units.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A picture in the making.
#[derive(Debug)]
pub(super) struct Canvas {
    width: f64,
    height: f64,
    body: String,
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self {
            width,
            height,
            body: String::new(),
        }
    }

    pub(super) fn line(&mut self, class: &str, from: Point, to: Point) {
        let ((x1, y1), (x2, y2)) = (from, to);
        // Writing to a String cannot fail; the same holds for every shape below.
        let _ = write!(
            self.body,
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        );
    }

    pub(super) fn rect(&mut self, class: &str, area: Area, hint: &str) {
        let Area {
            x,
            y,
            width,
            height,
        } = area;
        let hint = escape(hint);
        let _ = write!(
            self.body,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
             <title>{hint}</title></rect>",
            width.max(0.0),
            height.max(0.0)
        );
    }

    pub(super) fn circle(&mut self, class: &str, center: Point, radius: f64, hint: &str) {
        let ((x, y), hint) = (center, escape(hint));
        let _ = write!(
            self.body,
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\">\
             <title>{hint}</title></circle>"
        );
    }

    /// A small circle without a hint, for pictures with thousands of them.
    pub(super) fn spot(&mut self, class: &str, (x, y): Point, radius: f64) {
        let _ = write!(
            self.body,
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>"
        );
    }

    pub(super) fn text(&mut self, class: &str, at: Point, text: &str) {
        let ((x, y), text) = (at, escape(text));
        let _ = write!(
            self.body,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
        );
    }

    pub(super) fn path(&mut self, class: &str, points: impl Iterator<Item = Point>) {
        let mut data = String::new();
        for (position, (x, y)) in points.enumerate() {
            let command = if position == 0 { 'M' } else { 'L' };
            let _ = write!(data, "{command}{x:.1} {y:.1}");
        }
        if !data.is_empty() {
            let _ = write!(self.body, "<path class=\"{class}\" d=\"{data}\"/>");
        }
    }

    /// A filled shape.
    pub(super) fn area(&mut self, class: &str, points: impl Iterator<Item = Point>) {
        let mut data = String::new();
        for (position, (x, y)) in points.enumerate() {
            let command = if position == 0 { 'M' } else { 'L' };
            let _ = write!(data, "{command}{x:.1} {y:.1}");
        }
        if !data.is_empty() {
            let _ = write!(self.body, "<path class=\"{class}\" d=\"{data}Z\"/>");
        }
    }

    /// The picture, described by `label` for readers who do not see it.
    pub(super) fn finish(self, label: &str) -> String {
        let (width, height, label) = (self.width, self.height, escape(label));
        format!(
            "<svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
             aria-label=\"{label}\">{}</svg>",
            self.body
        )
    }
}
