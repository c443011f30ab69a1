package urlpath

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

// UL15: paths of ordinary APIs pass unchanged, under rules that a person would write.
func TestHonestPaths_goThrough(t *testing.T) {
	for _, test := range []struct {
		pattern string
		slashes bool
		paths   string // one on each line, in canonical form
	}{
		{"/services/data/**", false, `/services/data/v62.0/sobjects/Contact/003xx000004TmiQAAS
/services/data/v62.0/sobjects/Account/Ext_Id__c/A%2B1
/services/data/v62.0/query/01gRM00000Cz5uI-2000
/services/data/v62.0/composite/tree/Contact/`},
		{"/odata/**", false, `/odata/Products('A;B')
/odata/Products(ID=1,Lang='de')/Name
/odata/People('O''Neil')/Trips(0)/$ref
/odata/$metadata
/odata/$batch
/odata/Orders(3fa85f64-5717-4562-b3fc-2c963f66afa6)/$value
/odata/me/drive/root:/Docs/a%20b.docx:/content`},
		{"/v1.0/**", false, `/v1.0/me/drive/root:/%C3%9Cbersicht%202026.xlsx:/workbook/worksheets('Sheet1')/range(address='A1:C3')
/v1.0/users/anna@example.com/messages/AAMkAGI2TG93AAA=
/v1.0/users('anna%23EXT%23@example.onmicrosoft.com')
/v1.0/sites/example.sharepoint.com,5a58bb09,2dcb5a58/lists`},
		{"/my-bucket/**", false, `/my-bucket/reports/2026-11-29T10:00:00+01:00.csv
/my-bucket/a=1/b=2/part-0000.snappy.parquet
/my-bucket/photos/me%20(1).jpg
/my-bucket/what%3F.txt
/my-bucket/C%23/Program.cs
/my-bucket/100%25/done
/my-bucket/r&d/it's!*,$@
/my-bucket/%E4%BD%95%EF%BC%9F.txt
/my-bucket/wait%E2%80%A6/it.txt
/my-bucket/%5Bdraft%5D%20%7Bv1%7D.md
/my-bucket/a;b.txt
/my-bucket/.hidden/..data/file...txt
/my-bucket/caf%C3%A9%F0%9F%98%80.png
/my-bucket/~tmp/-/_/`},
		{"/api/v4/**", true, `/api/v4/projects/group%2Fsub%2Fproject/issues/7
/api/v4/projects/group%2Fproject/repository/files/src%2Fmain.go/raw
/api/v4/projects/1/repository/files/.gitlab-ci.yml
/api/v4/projects/1/repository/files/docs%2FC%23.md
/api/v4/projects/1/repository/branches/feature%2F%23123-fix`},
		{"/repos/*/*/compare/*", false, `/repos/octo/hello-world/compare/main...feature
/repos/octo/hello.world/compare/octo:main...other:v1.2`},
		{"/repos/*/*/contents/**", false, `/repos/octo/r/contents/.github/workflows/ci.yml
/repos/octo/r/contents/src/%5Bid%5D/page.tsx
/repos/octo/r/contents/a%20b/%2Bpage.svelte`},
		{"/v1/customers/*", false, "/v1/customers/cus_NffrFeUfNV2Hib"},
		{"/v1/models/*", false, `/v1/models/gemini-2.5-pro:generateContent
/v1/models/ft:gpt-4o-mini:acme::7p4lURel`},
		{"/v2/*/blobs/*", false, "/v2/alpine/blobs/sha256:4abcf20661432fb2d719aaf90656f55c287f8ca915dc1c92ec14ff61e67fbaf8"},
		{"/_matrix/client/v3/**", false, `/_matrix/client/v3/directory/room/%23fiso:example.org
/_matrix/client/v3/rooms/!abc:example.org/send/m.room.message/m1.2
/_matrix/client/v3/profile/@anna:example.org`},
		{"/channels/**", false, `/channels/1/messages/2/reactions/%F0%9F%94%A5/@me
/channels/1/messages/2/reactions/%23%EF%B8%8F%E2%83%A3/@me
/channels/1/messages/2/reactions/fire:123456`},
		{"/*/_doc/*", false, `/logs-2026.11.29/_doc/a%20b
/%3Clogstash-%7Bnow%7D%3E/_doc/1`},
		{"/*/_search", false, "/logs-*,-old/_search"},
		{"/2.3/**", false, `/2.3/tags/c%23/info
/2.3/tags/c++;.net/info
/2.3/questions/1;2;3/answers`},
		{"/wiki/**", false, `/wiki/%C3%89mile_Zola
/wiki/AC/DC
/wiki/What_Is_Life%3F
/wiki/Help:Contents_(a)
/wiki/%E6%9D%B1%E4%BA%AC%EF%BC%8F%E5%A4%A7%E9%98%AA`},
		{"/maps/**", false, `/maps/@48.2082,16.3738,12z
/maps/tiles/%7Bz%7D/%7Bx%7D/%7By%7D.png`},
		{"/npm/**", true, `/npm/@types%2Fnode
/npm/@types/node/-/node-20.0.0.tgz`},
		{"/maven2/**", false, "/maven2/org/slf4j/slf4j-api/2.0.9/slf4j-api-2.0.9.jar.sha1"},
		{"/dns/zones/*/records/*", false, `/dns/zones/example.com./records/*.example.com.
/dns/zones/example.com/records/_dmarc.example.com`},
		{"/v3/projects/**", false, `/v3/projects/p/locations/global/keyRings/r/cryptoKeys/k:encrypt
/v3/projects/p/topics/t:publish
/v3/projects/p/databases/(default)/documents/users/a%20b`},
		{"/couch/**", false, `/couch/db/_design/app/_view/by%20name
/couch/db/doc+1/att%C3%A9.pdf`},
		{"/apis/**", false, "/apis/apps/v1/namespaces/default/deployments/web/status"},
		{"/api/spaces/**", true, `/api/spaces/https%3A%2F%2Fexample.com%2Fa/urls
/api/spaces/urn:isbn:0451450523`},
		{"/fhir/Patient/*", false, "/fhir/Patient/$everything"},
		{"/jira/rest/api/3/issue/*", false, "/jira/rest/api/3/issue/FISO-1"},
		{"/google.pubsub.v1.Publisher/*", false, "/google.pubsub.v1.Publisher/Publish"},
	} {
		rules := mustRules(t, test.pattern)
		for raw := range strings.Lines(test.paths) {
			raw = strings.TrimSuffix(raw, "\n")
			t.Run(raw, func(t *testing.T) {
				got, err := Path(raw, test.slashes)
				if err != nil || got != raw {
					t.Fatalf("got %q, %v", got, err)
				}
				if err := rules.Allow(got); err != nil {
					t.Errorf("%s: %v", test.pattern, err)
				}
			})
		}
	}
}

// UL15, UL37: these paths were admitted, and some server reads them as another path,
// outside of what is allowed.
func TestHostilePaths_haveNoFormOrAreNotAllowed(t *testing.T) {
	rules := mustRules(t, "/api/*/public", "/open/**")
	for raw, want := range map[string]error{
		"/api/secret%3F/public":              ErrCuttable,
		"/api/secret%3fx=1/public":           ErrCuttable,
		"/api/secret%23/public":              ErrCuttable,
		"/api/%23/public":                    ErrCuttable,
		"/api/secret;/public":                ErrCuttable,
		"/api/secret%3B/public":              ErrCuttable,
		"/api/secret;x%3F/public":            ErrCuttable,
		"/api/secret%EF%BC%9F/public":        ErrCuttable, // a full-width ?
		"/api/secret%EF%BC%83/public":        ErrCuttable, // #
		"/api/secret%EF%BC%9B/public":        ErrCuttable, // ;
		"/api/secret%CD%BE/public":           ErrCuttable, // a Greek question mark, compatible with ;
		"/api/secret%E2%81%87/public":        ErrCuttable, // two question marks in one character
		"/api/a%EF%BC%8Fb/public":            ErrCuttable, // a full-width slash
		"/api/a%E2%84%80b/public":            ErrCuttable, // a/c
		"/api/a%EF%BC%BCb/public":            ErrCuttable, // a full-width backslash
		"/api/a%E2%88%95b/public":            ErrCuttable, // a division slash, by best fit
		"/open/..%3F":                        ErrDots,
		"/open/..%3Fx/y":                     ErrDots,
		"/open/..%23/y":                      ErrDots,
		"/open/.%3F/y":                       ErrDots,
		"/open/..%20/secret":                 ErrDots,
		"/open/%20../secret":                 ErrDots,
		"/open/.%20./secret":                 ErrDots,
		"/open/..+/secret":                   ErrDots,
		"/open/..%C2%A0/secret":              ErrDots,
		"/open/..%E2%80%8B/secret":           ErrDots, // a zero-width space
		"/open/..%20;x/secret":               ErrDots,
		"/open/..;%3F/secret":                ErrDots,
		"/open/%EF%BC%8E%EF%BC%8E/secret":    ErrDots, // full-width dots
		"/open/.%EF%BC%8E/secret":            ErrDots,
		"/open/%E2%80%A5/secret":             ErrDots, // two dots in one character
		"/open/%E2%80%A4%E2%80%A4/secret":    ErrDots,
		"/open/%EF%B9%92%EF%B9%92/secret":    ErrDots,
		"/open/%EF%B8%B0/secret":             ErrDots,
		"/open/%E2%80%A5%EF%BC%8Fsecret":     ErrDots,
		"/open/..%EF%BC%8Fsecret":            ErrDots,
		"/open/..%EF%BC%9B/secret":           ErrDots,
		"/open/..%EF%B8%8F/secret":           ErrDots, // a variation selector, which some normal forms leave out
		"/open/.%CD%8F./secret":              ErrDots, // a grapheme joiner, the same
		"/open/..%E3%85%A4/secret":           ErrDots, // a Hangul filler, the same
		"/open/..%C2%A5secret":               ErrDots, // a yen sign, a backslash by best fit in Japan
		"/open/x%E2%82%A9..%E2%82%A9secret":  ErrDots, // a won sign, in Korea
		"/open/%EF%B8%8F/secret":             ErrEmptySegment,
		"/open/%20/secret":                   ErrEmptySegment,
		"/open/%E3%80%80/secret":             ErrEmptySegment,
		"/open/%EF%BC%8F/secret":             ErrEmptySegment,
		"/open/%20%3F/secret":                ErrEmptySegment,
		"/open/%EF%BC%852e%EF%BC%852e/a":     ErrDoubleEscape, // a full-width percent sign
		"/open/%25%EF%BC%92e%25%EF%BC%92e/a": ErrDoubleEscape, // full-width digits
	} {
		t.Run(raw, func(t *testing.T) {
			canon, err := Path(raw, false)
			if err == nil {
				err = rules.Allow(canon)
			}
			if !errors.Is(err, want) {
				t.Errorf("%q: %v", norm.NFKC.String(decode(raw)), err)
			}
		})
	}
}

// UL15: each character that the target treats as ordinary can be allowed by name; dots,
// blanks and text hidden by parameters stay refused.
func TestRules_allowCharactersByName(t *testing.T) {
	for _, test := range []struct {
		name, path string
		allowed    []string
		want       error
	}{
		{"a question mark", "/api/a%3F/public", []string{"?"}, nil},
		{"a number sign", "/api/c%23/public", []string{"#"}, nil},
		{"matrix parameters", "/api/a;v=1/public", []string{";"}, nil},
		{"parameters, escaped", "/api/a%3Bv=1/public", []string{";"}, nil},
		{"a letter", "/api/a%EF%BC%8Fb/public", []string{Letters}, nil},
		{"all of them", "/api/a%EF%BC%8Fb%3F%23;x/public", []string{"?", "#", ";", Letters}, nil},
		{"another", "/api/a%3F/public", []string{"#", ";", Letters}, ErrCuttable},
		{"a letter for another", "/api/a%EF%BC%9F/public", []string{"?"}, nil},
		{"a letter for one that is not", "/api/a%EF%BC%9F/public", []string{"#"}, ErrCuttable},
		{"what is not allowed at all", "/secret%3F/public", []string{"?"}, ErrNotAllowed},
		{"parameters that hide", "/api/x/public;x", []string{";"}, ErrNotAllowed},
	} {
		t.Run(test.name, func(t *testing.T) {
			rules, err := NewRules([]string{"/api/*/public"}, test.allowed...)
			if err != nil {
				t.Fatal(err)
			}
			canon, err := Path(test.path, false)
			if err != nil || canon != test.path {
				t.Fatal(canon, err)
			}
			if err := rules.Allow(canon); !errors.Is(err, test.want) {
				t.Error(err)
			}
		})
	}
}
