// Package config reads configuration files strictly. A fault names file, line and column,
// shows the line, and suggests the nearest key. All faults of a file are reported together
// (see Errors).
//
// A configuration is a plain struct. Its tags define the decoder, the JSON Schema and the
// tables in the READMEs.
//
//	type Config struct {
//		Brokers Strings       `yaml:"brokers" required:"true" doc:"Brokers to ask first, as host:port."`
//		Start   string        `yaml:"startOffset" default:"latest" enum:"earliest|latest" doc:"Where to begin."`
//		Linger  time.Duration `yaml:"linger" default:"5ms" doc:"How long to wait for company."`
//		TLS     TLS           `yaml:"tls" doc:"TLS to the brokers."`
//	}
//
//	func (c *Config) Validate() error // joins all faults; see Fault
//
// The settings of a connector are a Raw in the file that names the connector, and are decoded
// once its type is known. In a Raw and in every Secret, references are replaced: ${ENV},
// ${ENV:-default}, ${file:/path}, and, as a whole value, {secretRef: {name: …, key: …}}, which
// reads the file ${FISO_SECRETS_DIR:-/etc/fiso/secrets}/name/key. $${ is a plain ${. Inserted
// text is never parsed as YAML. Further tags: file:"true" marks a path to watch (see Files);
// blanks:"keep" keeps blanks around a text, which are removed otherwise; secret:"true" marks a
// part with credentials: an error shows its keys but no text, unless the field has
// secret:"false" or an enum allows the text.
//
// Files are bounded before they are parsed: 1 MiB, 100 levels, 10000 values through aliases,
// and some 10000 entries in a list or mapping.
//
// Decode sets defaults, refuses unknown keys, wrong types and values outside enum, checks
// required, and calls Validate on every struct that has it. A Go program that builds the
// struct itself calls Defaults and Validate.
package config
