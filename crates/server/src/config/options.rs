//! What an option is: its place, kind, unit, range and default. The table of all of them is in [`super::reference`].
//!
//! One table serves the check of a file, the environment overlay, the defaults, and what `check-config --explain`
//! prints; so none of them can drift from the others.

/// A section of the configuration.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its place, such as `limits` or `api.keys`.
    pub(crate) path: &'static str,
    /// How it is written.
    pub(crate) shape: Shape,
    /// What it is for.
    pub(crate) about: &'static str,
    /// Its options, in the order in which they are explained.
    pub(crate) options: &'static [Setting],
}

/// How a section is written in TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `[section]`: always there, every option has its default.
    Table,
    /// `[section]`: being there means something, so it is not filled in.
    Optional,
    /// `[section.NAME]`: any number of tables, named by the operator.
    Named,
    /// `[[section]]`: any number of tables.
    List,
}

/// One option.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Its key within the section.
    pub(crate) name: &'static str,
    /// What its value may be.
    pub(crate) kind: Kind,
    /// What it is when it is not set.
    pub(crate) default: Preset,
    /// What it is for.
    pub(crate) about: &'static str,
}

/// What an option is when it is not set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Preset {
    /// This value, as TOML.
    Is(&'static str),
    /// Nothing, which means what is said of it.
    Unset,
    /// There is none: it must be set.
    Required,
}

/// The kinds of values.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Flag,
    /// Any text.
    Text,
    /// A text that no output may show.
    Secret,
    /// A file that must be readable.
    File,
    /// An IP address and a port; port 0 picks a free one.
    Address,
    /// One of these.
    Choice(&'static [&'static str]),
    /// A whole number.
    Number {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// A duration in seconds; fractions are allowed.
    Seconds {
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// A text or a list of texts.
    TextList,
}

impl Section {
    /// The option of this name.
    pub(crate) fn setting(&self, name: &str) -> Option<&'static Setting> {
        self.options.iter().find(|setting| setting.name == name)
    }

    /// The last part of its path.
    pub(crate) fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// The sections right under `parent`; those at the top for "".
    pub(crate) fn children<'a>(
        sections: &'a [Section],
        parent: &'a str,
    ) -> impl Iterator<Item = &'a Section> {
        sections
            .iter()
            .filter(move |section| match section.path.rsplit_once('.') {
                Some((above, _)) => above == parent,
                None => parent.is_empty(),
            })
    }
}

impl Kind {
    /// Type, unit and range in words.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Flag => "true or false".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Secret => "text, kept out of every output".to_owned(),
            Self::File => "path of a readable file".to_owned(),
            Self::Address => "IP address and port; port 0 picks a free one".to_owned(),
            Self::Choice(choices) => format!("one of {}", choices.join(", ")),
            Self::Number { min, max, unit } => format!("{unit}, {min} to {max}"),
            Self::Seconds { min, max } => format!("seconds, {min} to {max}; fractions are allowed"),
            Self::TextList => "list of texts".to_owned(),
        }
    }
}
