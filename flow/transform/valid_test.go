package transform

import (
	"testing"

	"github.com/lsm/fiso/common/config"
)

// values checks what expressions give for a record.
func values(t *testing.T, record string, want map[string]string) {
	t.Helper()
	for source, want := range want {
		if got := outcome(t, Config{CEL: text(source)}, message(record)); got != want {
			t.Errorf("%s gave %q, want %q", source, got, want)
		}
	}
}

// U8: an index may itself be indexed by a variable, at any depth.
func TestProcess_indexesByWhatAnIndexGives(t *testing.T) {
	values(t, `{"prices":{"s1":1.50,"s2":2},"skus":{"c1":"s1","id":"s2"},"code":"c1","codes":["c1"],"i":0,"l":[[0,1],[1.0]],"n":1.0}`, map[string]string{
		`data.prices[data.skus[data.code]]`:                                      `passed: 1.50`,
		`data.prices[data.skus[data.codes[data.i]]]`:                             `passed: 1.50`,
		`data.prices[data["skus"][data["code"]]]`:                                `passed: 1.50`,
		`data.prices[data.skus["i" + "d"]]`:                                      `passed: 2`,
		`data.prices[?data.skus[data.code]].orValue(0)`:                          `passed: 1.50`,
		`data.prices[data.skus[?data.code].orValue("s2")]`:                       `passed: 1.50`,
		`data.prices[data.code == "c1" ? data.skus[data.code] : "s2"]`:           `passed: 1.50`,
		`data.prices[data.skus[data.missing]] == 1.5 || true`:                    `passed: true`,
		`data.l[data.l[data.i][data.i]][data.n]`:                                 `passed: 1`,
		`data.l[data.l[data.n][data.i]]`:                                         `passed: [1.0]`,
		`data.codes.map(c, data.prices[data.skus[c]])`:                           `passed: [1.50]`,
		`data.codes.all(c, has(data.prices) && data.prices[data.skus[c]] > 1.0)`: `passed: true`,
		`data.skus.transformMap(k, v, data.prices[data.skus[k]])`:                `passed: {"c1":1.50,"id":2}`,
		`{data.skus[data.code]: 1}`:                                              `passed: {"s1":1}`,
		`data.prices[data.skus[id]]`:                                             `TRANSFORM_FAILED: transform.cel: no such field: data.prices[data.skus[id]]`,
	})
}

// U8: as for CEL's own maps and lists, an empty one is a zero value.
func TestProcess_takesWhatIsEmptyForNoValue(t *testing.T) {
	values(t, `{"o":{},"l":[],"one":{"a":1}}`, map[string]string{
		`optional.ofNonZeroValue({}).hasValue()`:           `passed: false`,
		`optional.ofNonZeroValue([]).hasValue()`:           `passed: false`,
		`optional.ofNonZeroValue(data.o).hasValue()`:       `passed: false`,
		`optional.ofNonZeroValue(data.l).hasValue()`:       `passed: false`,
		`optional.ofNonZeroValue({"a": 1}).hasValue()`:     `passed: true`,
		`optional.ofNonZeroValue(data.one).hasValue()`:     `passed: true`,
		`{?"a": optional.ofNonZeroValue({}), "b": 1}`:      `passed: {"b":1}`,
		`optional.ofNonZeroValue({"a": data.one}).value()`: `passed: {"a":{"a":1}}`,
	})
}

// U8: a missing field is an error that || and && may ignore, whatever function gets it. Some cost trackers of cel-go
// panicked over it.
func TestProcess_doesWithoutAnErrorInsideOfAFunction(t *testing.T) {
	for _, call := range []string{
		`data.missing.distinct() == []`, `data.missing.sort() == []`, `data.missing.sortBy(x, x) == []`, `lists.range(data.missing).sort() == []`,
		`lists.range(data.missing).sortBy(x, -x) == []`, `lists.range(data.missing).distinct() == []`, `data.missing.flatten() == []`, `data.l.flatten(data.missing) == []`,
		`data.missing.reverse() == []`, `data.missing.slice(0, 1) == []`, `data.l.slice(0, data.missing) == []`, `data.missing.join() == ""`, `data.missing.join(",") == ""`,
		`sets.contains(data.missing, [1])`, `sets.equivalent([1], data.missing)`, `sets.intersects(data.missing, data.missing)`, `data.missing.indexOf("x") == 0`,
		`data.missing.lastIndexOf("x") == 0`, `data.missing.replace("a", "b") == ""`, `data.s.replace("a", data.missing) == ""`, `data.missing.split(",") == []`,
		`data.missing.substring(1) == ""`, `data.missing.charAt(1) == ""`, `data.missing.format([1]) == ""`, `"%s".format([data.missing]) == ""`, `json.encode(data.missing) == ""`,
		`base64.encode(data.missing) == ""`, `base64.decode(data.missing) == b""`, `lists.range(data.missing) == []`, `math.greatest(data.missing, 1) == 1`, `math.least(data.missing) == 1`,
		`data.missing.matches("x")`, `data.s.matches(data.missing)`, `regex.extract(data.missing, "a").hasValue()`, `regex.extractAll(data.s, data.missing) == []`,
		`regex.replace(data.missing, "a", "b") == ""`, `strings.quote(data.missing) == ""`, `data.missing.reverse() == ""`, `data.missing in []`, `data.missing in ["a"]`, `data.missing in data.l`,
		`timestamp(data.missing) == time`, `int("x") == 1`, `timestamp(data.s) == time`, `duration(data.s) == duration("1s")`, `optional.of(data.missing).hasValue()`, `1 / 0 == 1`,
	} {
		// The loop makes cel-go count steps, where it panicked.
		for _, counted := range []string{`data.l.exists(x, x == 1)`, `true`} {
			values(t, `{"l":[1],"s":"text"}`, map[string]string{
				call + ` || ` + counted:                       `passed: true`,
				counted + ` || ` + call:                       `passed: true`,
				call + ` && !(` + counted + `)`:               `passed: false`,
				`[1].map(x, ` + call + ` || ` + counted + `)`: `passed: [true]`,
			})
		}
	}
	values(t, `{"l":[1]}`, map[string]string{
		`has(data.missing) ? data.missing.distinct() : []`: `passed: []`,
		`data.missing.distinct()`:                          `TRANSFORM_FAILED: transform.cel: no such field: data.missing`,
		`data.missing in []`:                               `TRANSFORM_FAILED: transform.cel: no such field: data.missing`,
		`data.l[0] in []`:                                  `passed: false`,
		`data.missing in [] || true`:                       `passed: true`,
	})
}

// U8: an identifier beyond 64 bits keeps its digits, or the event is refused.
func TestProcess_keepsTheDigitsOfBigNumbers(t *testing.T) {
	const record = `{"a":12345678901234567890123,"b":12345678901234567890124,"a2":12345678901234567890123,"x":1e400,"l":[12345678901234567890124,1],"u":18446744073709551615}`
	values(t, record, map[string]string{
		`string(data.a)`:                       `passed: "12345678901234567890123"`,
		`"id-" + string(data.a)`:               `passed: "id-12345678901234567890123"`,
		`data.l.map(x, string(x))`:             `passed: ["12345678901234567890124","1"]`,
		`data.a`:                               `passed: 12345678901234567890123`,
		`true ? data.a : 0`:                    `passed: 12345678901234567890123`,
		`[data.a, data.b, data.a2].distinct()`: `passed: [12345678901234567890123,12345678901234567890124]`,
		`json.encode({"a": data.a})`:           `passed: "{\"a\":12345678901234567890123}"`,
		`data.a == data.b`:                     `passed: false`,
		`data.a == data.a2`:                    `passed: true`,
		`data.a != data.b`:                     `passed: true`,
		`data.a in data.l`:                     `passed: false`,
		`data.b in data.l`:                     `passed: true`,
		`data.a in [data.a2]`:                  `passed: true`,
		`sets.contains(data.l, [data.a])`:      `passed: false`,
		`[data.a] == [data.b]`:                 `passed: false`,
		`{"k": data.a} == {"k": data.a2}`:      `passed: true`,
		`data == data`:                         `passed: true`,
		`data.a < data.b && data.a > 1`:        `passed: true`,
		`data.a > 1.5 && data.a <= data.a2`:    `passed: true`,
		`double(data.a) > 1e22`:                `passed: true`,
		`string(data.x)`:                       `passed: "1e400"`,
		`[data.x, data.x]`:                     `passed: [1e400,1e400]`,
		`data.x > 1e300 && data.x == data.x`:   `passed: true`,
		`type(data.a) == double`:               `passed: false`,
		`string(data.u)`:                       `passed: "18446744073709551615"`,
		`data.a + 1`:                           `TRANSFORM_FAILED: transform.cel: no such overload in data.a + 1: ` + bigNumber,
		`int(data.a)`:                          `TRANSFORM_FAILED: transform.cel: no such overload in int(data.a): ` + bigNumber,
		`math.greatest(data.a, 1)`:             `TRANSFORM_FAILED: transform.cel: no such overload in math.@max(data.a, 1): ` + bigNumber,
		`double(data.x)`:                       `TRANSFORM_FAILED: transform.cel: range error in double(data.x)`,
	})
	p := mustNew(t, Config{ID: text(`data.a`), Subject: text(`string(data.b)`), Extensions: config.Fields{field("both", `string(data.a) + "-" + string(data.b)`)}})
	e, err := p.Process(t.Context(), message(record))
	if err != nil {
		t.Fatal(err)
	}
	if both, _ := e.Extension("both"); e.ID != "12345678901234567890123" || e.Subject != "12345678901234567890124" || both != e.ID+"-"+e.Subject {
		t.Errorf("got %+v", e)
	}
}

// U11: the error says which function converts an operand so that the types fit.
func TestProcess_saysHowToMixTypes(t *testing.T) {
	const failed, in = "TRANSFORM_FAILED: transform.cel: ", "no such overload in "
	values(t, `{"n":7,"d":1.5,"u":18446744073709551615,"big":123456789012345678901,"s":"a","items":[{"n":2}],"nothing":null}`, map[string]string{
		`data.n * data.d`:                 failed + in + `data.n * data.d: ` + mixedNumbers,
		`1.5 * data.n`:                    failed + in + `1.5 * data.n: ` + mixedNumbers,
		`data.d - 1`:                      failed + in + `data.d - 1: ` + mixedNumbers,
		`data.u / data.d`:                 failed + in + `data.u / data.d: ` + mixedNumbers,
		`data.items.map(i, i.n * 1.5)`:    failed + in + `i.n * 1.5: ` + mixedNumbers,
		`data.items.map(i, data.d * i.n)`: failed + in + `data.d * i.n: ` + mixedNumbers,
		`double(data.n) + data.n`:         failed + in + `double(data.n) + data.n: ` + mixedNumbers,
		`data.u - data.n`:                 failed + in + `data.u - data.n: ` + mixedSigns,
		`data.s + data.n`:                 failed + in + `data.s + data.n: ` + mixedTexts,
		`data.big + data.n`:               failed + in + `data.big + data.n: ` + bigNumber,
		`1 < data.big`:                    failed + in + `1 < data.big: ` + bigNumber,
		`data.nothing + data.nothing`:     failed + in + `data.nothing + data.nothing`,
		`data.n.startsWith("7")`:          failed + in + `data.n.startsWith("7")`,
		`double(data.n) * data.d`:         `passed: 10.5`,
	})
}

// U11: an error names the part of its own expression, also after a failure in another one.
func TestProcess_namesItsOwnPartInAnErrorThatIsShared(t *testing.T) {
	const failed = `TRANSFORM_FAILED: transform.cel: timestamp overflow in `
	values(t, `{"n":999999999999999,"a":1}`, map[string]string{
		`timestamp(data.n) > time`:                                     failed + `timestamp(data.n)`,
		`[data.a + 1 == 2, timestamp(data.n) > time]`:                  failed + `timestamp(data.n)`,
		`[1, 2, 3].exists(x, x == data.a && timestamp(data.n) > time)`: failed + `timestamp(data.n)`,
	})
}
