package discovery

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// SystemDNS looks names up as the system's resolver does: by resolv.conf, and first in
// the hosts file, unless nsswitch.conf has dns before files. nsswitch.conf is read
// once, the other two again when they change. Without a resolv.conf, only the system's
// resolver is asked.
func SystemDNS() *DNS {
	d := &DNS{resolvConf: &followedFile[Servers]{path: "/etc/resolv.conf", parse: parseResolvConf}}
	if text, err := os.ReadFile("/etc/nsswitch.conf"); err != nil || filesFirst(text) {
		d.WithHosts("/etc/hosts")
	}
	return d
}

// followedFile is a file that is parsed again when it has changed. It is safe for
// concurrent use. If it is nil, or the file cannot be read, get returns the zero value.
type followedFile[T any] struct {
	path  string
	parse func([]byte) T

	mu   sync.Mutex
	info os.FileInfo // of the version that was parsed; nil: there was no file
	last T
}

func (f *followedFile[T]) get() T {
	var none T
	if f == nil {
		return none
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if err != nil {
		f.info, f.last = nil, none
		return none
	}
	if f.info != nil && os.SameFile(f.info, info) && f.info.ModTime().Equal(info.ModTime()) && f.info.Size() == info.Size() {
		return f.last
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return f.last // it is being replaced; the next call reads it
	}
	f.info, f.last = info, f.parse(text)
	return f.last
}

// hosts maps each name of a hosts file, in lower case and without a final dot, to its
// addresses.
type hosts map[string][]string

func hostsFile(path string) *followedFile[hosts] {
	return &followedFile[hosts]{path: path, parse: parseHosts}
}

func (h hosts) addresses(name string) []string {
	return h[strings.ToLower(strings.TrimSuffix(name, "."))]
}

func parseHosts(text []byte) hosts {
	h := hosts{}
	for line := range bytes.Lines(text) {
		line, _, _ = bytes.Cut(line, []byte("#"))
		fields := strings.Fields(string(line))
		if len(fields) < 2 {
			continue
		}
		ip, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		for _, name := range fields[1:] {
			name = strings.ToLower(strings.TrimSuffix(name, "."))
			h[name] = append(h[name], ip.Unmap().String())
		}
	}
	return h
}

// filesFirst reports whether nsswitch.conf has files before dns. That is also the
// default if it has no line for hosts. If dns comes first, the system's resolver reads
// the hosts file afterwards.
func filesFirst(nsswitch []byte) bool {
	for line := range bytes.Lines(nsswitch) {
		line, _, _ = bytes.Cut(line, []byte("#"))
		database, sources, _ := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		if string(database) != "hosts" {
			continue
		}
		for _, source := range strings.Fields(string(sources)) {
			switch source {
			case "files", "resolve": // systemd-resolved reads the hosts file, too
				return true
			case "dns":
				return false
			}
		}
		return false
	}
	return true
}

// maxPerServer limits the wait for an answer, whatever resolv.conf says: calls wait for
// it, and there may be another server.
const maxPerServer = 2 * time.Second

// parseResolvConf returns the zero value if the file cannot be parsed.
func parseResolvConf(text []byte) Servers {
	c, err := dns.ClientConfigFromReader(bytes.NewReader(text))
	if err != nil {
		return Servers{}
	}
	s := Servers{Search: c.Search, Dots: c.Ndots, Timeout: time.Duration(c.Timeout) * time.Second, Attempts: c.Attempts, Rotate: rotates(text)}
	for _, server := range c.Servers {
		s.Addresses = append(s.Addresses, net.JoinHostPort(server, c.Port))
	}
	return s
}

// rotates reads the option rotate, which the library ignores.
func rotates(resolvConf []byte) (on bool) {
	for line := range bytes.Lines(resolvConf) {
		if fields := strings.Fields(string(line)); len(fields) > 0 && fields[0] == "options" {
			for _, option := range fields[1:] {
				on = on || option == "rotate"
			}
		}
	}
	return on
}
