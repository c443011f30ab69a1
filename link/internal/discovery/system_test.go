package discovery

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"
)

// UL5: DNS and search domains were used before the hosts file, so that a call and its
// credential went elsewhere (https://kubernetes.io/docs/tasks/network/customize-hosts-file-for-pods).
func TestDNS_takesTheHostsFileFirst(t *testing.T) {
	server := zone(t, "crm.example. 300 IN A 192.0.2.1", "crm.search. 300 IN A 192.0.2.2", "_a._tcp.example. 300 IN SRV 1 1 80 crm.example.")
	path := filepath.Join(t.TempDir(), "hosts")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := (&DNS{Servers: Servers{Addresses: []string{server}, Search: []string{"search"}, Dots: 5}}).WithHosts(path)
	is := func(name, host string, ttl time.Duration, want ...string) {
		t.Helper()
		r := d.Host(host, 80)
		if host == "_a._tcp.example" {
			r = d.SRV(host)
		}
		if all, holds, err := r.Resolve(t.Context()); err != nil || !slices.Equal(all, want) || holds != ttl {
			t.Errorf("%s: %v for %v, %v", name, all, holds, err)
		}
	}
	is("without the file", "crm.example", 300*time.Second, "192.0.2.1:80")
	write("# none\n127.0.0.1 localhost\n\nnot-an-address crm.example\n192.0.2.8 other crm.Example. # crm\n2001:db8::8\tcrm.example\n192.0.2.9 crm\n")
	is("a name of DNS", "crm.example", hostsTTL, "192.0.2.8:80", "[2001:db8::8]:80")
	is("in other letters, with a dot", "CRM.example.", hostsTTL, "192.0.2.8:80", "[2001:db8::8]:80")
	is("a name of the search list", "crm", hostsTTL, "192.0.2.9:80")
	is("a target of SRV", "_a._tcp.example", hostsTTL, "192.0.2.8:80", "[2001:db8::8]:80")
	write("192.0.2.10 crm.example\n")
	is("a file that changed", "crm.example", hostsTTL, "192.0.2.10:80")
	is("a name that is not there any more", "crm", 300*time.Second, "192.0.2.2:80")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	is("a file that is gone", "crm.example", 300*time.Second, "192.0.2.1:80")
}

// UL5
func TestFilesFirst_isTheOrderOfNsswitch(t *testing.T) {
	for text, want := range map[string]bool{
		"":                   true,
		"passwd: files\n":    true,
		"hosts: files dns\n": true,
		"hosts:files dns":    true,
		"# hosts: dns\nhosts:\tmymachines resolve [!UNAVAIL=return] files dns": true,
		"passwd: files\nhosts: dns files\n":                                    false,
		"hosts: dns [!UNAVAIL=return] files ":                                  false,
		"hosts: mdns4\n":                                                       false,
	} {
		if got := filesFirst([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// UL5: the options of resolv.conf were ignored, and so were changes of the file.
func TestResolvConf_isFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	d := &DNS{resolvConf: &followedFile[Servers]{path: path, parse: parseResolvConf}}
	for _, test := range []struct {
		text string
		want Servers
	}{
		{"", Servers{}},
		{"nameserver 192.0.2.1\n", Servers{Addresses: []string{"192.0.2.1:53"}, Search: []string{}, Dots: 1, Timeout: 5 * time.Second, Attempts: 2}},
		{
			"search a.example b.example\nnameserver 2001:db8::1\nnameserver 192.0.2.2\noptions ndots:5 timeout:1\noptions attempts:3 rotate\n",
			Servers{
				Addresses: []string{"[2001:db8::1]:53", "192.0.2.2:53"}, Search: []string{"a.example", "b.example"}, Dots: 5,
				Timeout: time.Second, Attempts: 3, Rotate: true,
			},
		},
	} {
		if test.text != "" {
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := d.servers(); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q is %+v", test.text, got)
		}
	}
}

func TestSystemDNS_isThatOfTheMachine(t *testing.T) {
	d := SystemDNS()
	text, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		t.Skipf("a readable /etc/resolv.conf is needed, which this machine lacks: %v", err)
	}
	if got := d.servers(); !reflect.DeepEqual(got, parseResolvConf(text)) {
		t.Errorf("%+v", got)
	}
}
