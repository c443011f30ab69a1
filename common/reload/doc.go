// Package reload follows configuration files: it reads them, notices when the content
// of one changes, and passes on the loaded result. It is for programs that apply
// changes while they run, as fiso-flow does with its flow files and fiso-link with its
// configuration. The program decides what a file means and what to do with it.
//
// A Follower checks all its files after each event of its Watcher, and after each
// Poll. It compares contents, never times or events, so that an editor's rename, the
// link that Kubernetes swaps, and a network file system without events are all the
// same to it.
//
//   - A content is loaded once it has not changed for Debounce, so that a half-written
//     file is not loaded.
//   - A file counts as removed once it has been absent for Absent, and never while the
//     files cannot be listed: an unmounted volume removes nothing.
//   - A content is loaded once. The contents of the files that it refers to are part
//     of it. A faulty content is loaded once more if all of these could be read, since
//     Load may have read one of them while it was being replaced.
//   - A file system that does not answer delays its own files by five seconds, and no
//     others (see config.WithFileTimeout).
//
// Values that are read when they are used, such as a secret or a certificate, follow
// their files without this package: see config.Secret and config.TLS.
package reload
