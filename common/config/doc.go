// Package config reads configuration files strictly. A fault names file, line
// and column, shows the line, and suggests the nearest key; all of a file's
// faults are reported together (see Errors).
//
// A configuration is a plain struct. Its tags say everything, once: the
// decoder, the JSON Schema and the tables in the READMEs are made from them.
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
// What a connector understands is a Raw in the file that names the connector,
// and is decoded when its type is known. References are followed in it and in
// every Secret: ${ENV}, ${ENV:-default}, ${file:/path}, $${ for a plain ${, and
// for a whole value {secretRef: {name: …, key: …}}, which reads the file
// ${FISO_SECRETS_DIR:-/etc/fiso/secrets}/name/key. What they bring in is never
// read as YAML. Further tags: file:"true" marks a path to watch (see Files);
// blanks:"keep" keeps blanks around a text, which are cut off otherwise; and
// secret:"true" marks a part in which credentials stand: an error shows its keys and
// no text of it, unless secret:"false" says so of a field, or an enum allows it.
//
// Files are bounded before they are parsed: 1 MiB, 100 levels, 10000 values
// through aliases, and some 10000 entries a list or mapping.
//
// Decode fills in defaults, refuses unknown keys, wrong types and values
// outside enum, checks required, and calls Validate on every struct that has
// it. A Go program that builds the struct itself calls Defaults and Validate.
package config
