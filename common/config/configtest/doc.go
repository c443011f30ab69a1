// Package configtest spoils configuration files, for tests of what is said of a
// faulty one: a fault may show its place and its key, but no secret.
//
//	for name, text := range configtest.Spoil(file) {
//		err := config.Decode("f.yaml", []byte(text), &v)
//		if shown := configtest.ShownBy(err); shown != "" {
//			t.Errorf("%s: %s", name, shown)
//		}
//	}
package configtest
