//! Who gets in: every kind of good token by every way it may travel, and none of the hostile ones. Each hub's log is
//! searched for the tokens at the end (see `Hub`'s `Drop`).

mod algorithms;
mod cross_site;
mod explanations;
mod hostile;
mod ways_in;
