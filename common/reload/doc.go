// Package reload follows configuration files: it reads them, notices that the
// content of one has changed, and hands over what the new content means. It is
// for a program that takes a change over while it runs, as fiso-flow does with
// its flow files and fiso-link with its configuration. What a file means, and
// what is done with it, is the program's.
//
// A Follower looks at all its files at once, whenever its Watcher has seen
// something, and every Poll. It compares contents, never times or events: the
// rename of an editor, the link that Kubernetes swaps, and a network file system
// without events all look the same.
//
//   - A content is loaded once it has not changed for Debounce: a file that is
//     half written is not loaded.
//   - A file counts as removed once it was absent for Absent, and never while
//     the files cannot be listed: a mount that is away removes nothing.
//   - A content is loaded once. The contents of the files that it refers to are
//     part of it. A fault is loaded once more where all of these could be read,
//     since Load may have met one of them while it was replaced.
//   - A file system that does not answer costs its files five seconds, and holds
//     up nothing else (see config.WithFileTimeout).
//
// A value that is looked up when it is used, such as a secret or a certificate,
// follows its file by itself: see config.Secret and config.TLS.
package reload
