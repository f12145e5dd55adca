package rule

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var now = time.Date(2020, 6, 15, 12, 30, 45, 123, time.UTC) // a Monday

var nodeAttributes = map[string]string{
	"i5": "5", "d": "5.7", "s": "Abc", "v": "1.2.10", "v2": "1.2-rc1", "e": "", "n": "5x", "neg": "-3", "sp": " 5",
	"inf": "INFINITY", "big": "99999999999999999999", "a-web": "yes", "#uname": "n1",
}

func lookupIn(m map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

func input() Input {
	return Input{
		Now: now, NodeAttribute: lookupIn(nodeAttributes),
		Resource:  &Resource{Class: "ocf", Provider: "heartbeat", Type: "Dummy"},
		Operation: &Operation{Name: "monitor", IntervalMS: 10000},
		Param:     lookupIn(map[string]string{"p": "5", "empty": ""}),
		Meta:      lookupIn(map[string]string{"m": "5"}),
	}
}

func one(c Condition) *Rule { return &Rule{ID: "r", Conditions: []Condition{c}} }

type attributeCase struct {
	attribute, operation, value, kind, source string
	want                                      bool
}

// attributeCases with a value of "-" have none.
var attributeCases = []attributeCase{
	{"i5", "eq", "5.0", "", "", false},
	{"i5", "eq", "5.0", "number", "", true},
	{"i5", "eq", "5.9", "integer", "", true},
	{"i5", "eq", "5x", "integer", "", true},
	{"n", "eq", "5", "integer", "", true},
	{"n", "eq", "5", "number", "", true},
	{"n", "lt", "6", "", "", true},
	{"i5", "gt", "10", "", "", false},
	{"i5", "gt", "10", "string", "", true},
	{"i5", "gte", "5", "", "", true},
	{"i5", "gt", "5", "", "", false},
	{"i5", "lte", "5", "", "", true},
	{"i5", "ne", "5", "", "", false},
	{"i5", "ne", "6", "", "", true},
	{"d", "lt", "6", "", "", true},
	{"d", "gt", "5", "", "", true},
	{"d", "eq", "5", "integer", "", true},
	{"d", "lt", "5.8", "", "", true},
	{"d", "lt", "5.8", "integer", "", false},
	{"d", "eq", "5.70", "number", "", true},
	{"s", "eq", "ABC", "", "", true},
	{"s", "lt", "abd", "", "", true},
	{"s", "gt", "1", "integer", "", true},
	{"s", "gt", "ab", "string", "", true},
	{"s", "lt", "abcd", "string", "", true},
	{"v", "gt", "1.2.9", "version", "", true},
	{"v", "gt", "1.2", "version", "", true},
	{"v", "eq", "1.2.10.0", "version", "", true},
	{"v", "eq", "01.002.10", "version", "", true},
	{"v", "lt", "1.2.99999999999999999999999", "version", "", true},
	{"v2", "eq", "1.2", "version", "", true},
	{"v2", "lt", "1.2.1", "version", "", true},
	{"s", "lt", "0.1", "version", "", true},
	{"s", "eq", "0", "version", "", true},
	{"e", "defined", "-", "", "", true},
	{"e", "eq", "", "", "", true},
	{"e", "lt", "5", "", "", true}, // no number: as strings
	{"zz", "defined", "-", "", "", false},
	{"zz", "not_defined", "-", "", "", true},
	{"i5", "not_defined", "-", "", "", false},
	{"zz", "eq", "x", "", "", false},
	{"zz", "ne", "x", "", "", true},
	{"zz", "lt", "5", "", "", false},
	{"zz", "lte", "5", "", "", false},
	{"zz", "gt", "5", "", "", false},
	{"zz", "gte", "5", "", "", false},
	{"i5", "EQ", "5", "", "", true},
	{"i5", "eq", "5", "Integer", "", true},
	{"neg", "lt", "-2", "", "", true},
	{"sp", "eq", "5", "integer", "", true},
	{"sp", "eq", "5", "number", "", true},
	{"sp", "eq", "5", "", "", false},
	{"i5", "eq", " 5", "integer", "", true},
	{"inf", "gt", "5", "integer", "", true},
	{"i5", "lt", "1e3", "number", "", true},
	{"i5", "lt", "1e", "number", "", false},
	{"i5", "gt", ".5", "number", "", true},
	{"i5", "lt", "99999999999999999999", "integer", "", true},
	{"big", "eq", "99999999999999999998", "integer", "", true}, // both clipped
	{"#uname", "eq", "N1", "", "", true},
	{"i5", "eq", "p", "", "param", true},
	{"i5", "eq", "m", "", "meta", true},
	{"i5", "eq", "nop", "", "param", false},
	{"i5", "ne", "nop", "", "param", true},
	{"zz", "eq", "nop", "", "param", true},
	{"zz", "ne", "nop", "", "param", false},
	{"i5", "lt", "nop", "", "param", false},
	{"e", "eq", "empty", "", "param", true},
	{"i5", "eq", "5", "", "literal", true},
}

func (c attributeCase) expression(id string) *AttributeExpression {
	x := &AttributeExpression{ID: id, Attribute: c.attribute, Operation: c.operation, Type: c.kind, ValueSource: c.source}
	if c.value != "-" {
		x.Value, x.HasValue = c.value, true
	}
	return x
}

func TestEvaluate_Attribute(t *testing.T) {
	t.Parallel()
	for _, c := range attributeCases {
		res := Evaluate(one(Condition{Attribute: c.expression("e")}), input())
		if res.Pass != c.want || len(res.Problems) > 0 || !res.Recheck.IsZero() {
			t.Errorf("%s=%q %s %q type %q source %q: Evaluate() = %+v, want %v", c.attribute, nodeAttributes[c.attribute],
				c.operation, c.value, c.kind, c.source, res, c.want)
		}
	}
}

func TestEvaluate_Problems(t *testing.T) {
	t.Parallel()
	at := func(c attributeCase) Condition { return Condition{Attribute: c.expression("x")} }
	day := func(d DateExpression) Condition { d.ID = "x"; return Condition{Date: &d} }
	deep := &Rule{ID: "x"}
	for range MaxDepth {
		deep = &Rule{ID: "x", Conditions: []Condition{{Rule: deep}}}
	}
	for _, c := range []struct {
		name string
		cond Condition
		want string
	}{
		{"value with defined", at(attributeCase{"i5", "defined", "5", "", "", false}), "takes no value"},
		{"no value with eq", at(attributeCase{"i5", "eq", "-", "", "", false}), "value is missing"},
		{"operation", at(attributeCase{"i5", "foo", "5", "", "", false}), `operation "foo" is unknown; use defined,`},
		{"type", at(attributeCase{"i5", "eq", "5", "foo", "", false}), `type "foo" is unknown; use string,`},
		{"source", at(attributeCase{"i5", "eq", "5", "", "foo", false}), `value-source "foo" is unknown`},
		{"attribute", at(attributeCase{"", "eq", "5", "", "", false}), "attribute is missing"},
		{"date operation", day(DateExpression{Operation: "foo"}), `operation "foo" is unknown; use in_range,`},
		{"gt without start", day(DateExpression{Operation: "gt", End: "2021-01-01"}), "start is missing"},
		{"lt without end", day(DateExpression{Operation: "lt", Start: "2021-01-01"}), "end is missing"},
		{"empty range", day(DateExpression{}), "start and end are missing"},
		{"duration without start", day(DateExpression{Duration: &DateDuration{Days: "1"}}), "start is missing"},
		{"bad start", day(DateExpression{Start: "junk", End: "2021-01-01"}), `start: date "junk"`},
		{"bad end", day(DateExpression{Start: "2020-01-01", End: "junk"}), `end: date "junk"`},
		{"bad duration", day(DateExpression{Start: "2020-01-01", Duration: &DateDuration{Days: "x"}}), "duration: days"},
		{"no spec", day(DateExpression{Operation: "date_spec"}), "needs a date_spec"},
		{"bad spec", day(DateExpression{Operation: "date_spec", Spec: &DateSpec{ID: "x", Hours: "x"}}), "hours: range"},
		{"no op name", Condition{Operation: &OperationExpression{ID: "x"}}, "name is missing"},
		{"op interval", Condition{Operation: &OperationExpression{ID: "x", Name: "monitor", Interval: "10 parsec"}}, "unknown unit"},
		{"op interval negative", Condition{Operation: &OperationExpression{ID: "x", Name: "monitor", Interval: "-5s"}}, "is not an interval"},
		{"op interval duration", Condition{Operation: &OperationExpression{ID: "x", Name: "monitor", Interval: "P"}}, "no field"},
		{"op interval negative duration", Condition{Operation: &OperationExpression{ID: "x", Name: "monitor", Interval: "PT-5S"}}, "negative"},
		{"boolean-op", Condition{Rule: &Rule{ID: "x", BooleanOp: "xor"}}, `boolean-op "xor" is unknown`},
		{"reference", Condition{Rule: &Rule{ID: "x", IDRef: "other"}}, `reference to rule "other"`},
		{"depth", Condition{Rule: deep}, "nested more than 64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			res := Evaluate(one(c.cond), input())
			if res.Pass || len(res.Problems) != 1 || res.Problems[0].ID != "x" || !strings.Contains(res.Problems[0].Text, c.want) {
				t.Errorf("Evaluate() = %+v, want a failure with %q", res, c.want)
			}
			// The failed condition does not spoil an alternative.
			or := &Rule{BooleanOp: "or", Conditions: []Condition{c.cond, {Rule: &Rule{}}}}
			if res := Evaluate(or, input()); !res.Pass || len(res.Problems) != 1 {
				t.Errorf("or: Evaluate() = %+v, want to pass with one problem", res)
			}
			if c.name != "reference" { // which Validate leaves to the reader of the document
				if p := Validate(one(c.cond)); len(p) == 0 || !strings.HasPrefix(p[0].Error(), "x: ") {
					t.Errorf("Validate() = %v, want a problem", p)
				}
			}
		})
	}
	if res := Evaluate(&Rule{ID: "r", Conditions: make([]Condition, 1)}, input()); res.Pass || len(res.Problems) != 1 {
		t.Errorf("empty condition: Evaluate() = %+v, want a problem", res)
	}
}

type dateCase struct {
	x       DateExpression
	want    bool
	recheck string // RFC 3339
}

var dateCases = []dateCase{
	{DateExpression{Operation: "gt", Start: "2020-06-15 12:30:44Z"}, true, ""},
	{DateExpression{Operation: "gt", Start: "2020-06-15 12:30:45Z"}, false, "2020-06-15T12:30:46Z"},
	{DateExpression{Operation: "gt", Start: "2020-07-01 00:00:00Z"}, false, "2020-07-01T00:00:01Z"},
	{DateExpression{Operation: "GT", Start: "2020-01-01T24:00:00"}, true, ""},
	{DateExpression{Operation: "lt", End: "2020-06-15 12:30:45Z"}, false, ""},
	{DateExpression{Operation: "lt", End: "2020-06-15 12:30:46Z"}, true, "2020-06-15T12:30:46Z"},
	{DateExpression{Operation: "lt", Start: "junk", End: "2020-06-16"}, true, "2020-06-16T00:00:00Z"},
	{DateExpression{Start: "2020-06-15 12:30:45Z", End: "2020-06-15 12:30:45Z"}, true, "2020-06-15T12:30:46Z"},
	{DateExpression{Operation: "in_range", Start: "2020-06-15 12:30:46Z"}, false, "2020-06-15T12:30:46Z"},
	{DateExpression{Operation: "in_range", Start: "2020-06-15 12:30:45Z"}, true, ""},
	{DateExpression{Operation: "in_range", End: "2020-06-15 12:30:45Z"}, true, "2020-06-15T12:30:46Z"},
	{DateExpression{Operation: "in_range", End: "2020-06-15 12:30:44Z"}, false, ""},
	{DateExpression{Operation: "in_range", Start: "2020-06-15 14:30:45 +02:00"}, true, ""},
	{DateExpression{Operation: "in_range", Start: "2021-001", End: "2020-001"}, false, "2021-01-01T00:00:00Z"},
	{DateExpression{Start: "2020-06-15 12:00:00Z", Duration: &DateDuration{Minutes: "30"}}, false, ""},
	{DateExpression{Start: "2020-06-15 12:00:00Z", Duration: &DateDuration{Minutes: "31"}}, true, "2020-06-15T12:31:01Z"},
	{DateExpression{Start: "2020-06-01", Duration: &DateDuration{Weeks: "2", Hours: "12", Minutes: "30", Seconds: "45"}}, true, "2020-06-15T12:30:46Z"},
	{DateExpression{Start: "2020-06-01", Duration: &DateDuration{Weeks: "2", Hours: "12", Minutes: "30", Seconds: "44"}}, false, ""},
	{DateExpression{Start: "2020-06-01", End: "2020-06-02", Duration: &DateDuration{Days: "90"}}, false, ""},
	{DateExpression{End: "2020-06-16", Duration: &DateDuration{Days: "1"}}, true, "2020-06-16T00:00:01Z"},
	{DateExpression{Start: "2020-06-01", Duration: &DateDuration{}}, false, ""},
	{DateExpression{Start: "2019-04-15", Duration: &DateDuration{Years: "1", Months: "2", Days: "2"}}, true, "2020-06-16T00:00:01Z"},
	{DateExpression{Operation: "gt", Start: "2020-06-01", Duration: &DateDuration{Days: "1"}}, true, ""},
}

func TestEvaluate_Date(t *testing.T) {
	t.Parallel()
	for i, c := range dateCases {
		res := Evaluate(one(Condition{Date: &c.x}), input())
		recheck := ""
		if !res.Recheck.IsZero() {
			recheck = res.Recheck.Format(time.RFC3339)
		}
		if res.Pass != c.want || recheck != c.recheck || len(res.Problems) > 0 {
			t.Errorf("case %d %+v: Evaluate() = %+v, want %v recheck %q", i, c.x, res, c.want, c.recheck)
		}
	}
}

type specCase struct {
	spec DateSpec
	want bool
}

var specCases = []specCase{
	{DateSpec{}, true},
	{DateSpec{Hours: "12"}, true},
	{DateSpec{Hours: "13-"}, false},
	{DateSpec{Hours: "-12"}, true},
	{DateSpec{Hours: "12-"}, true},
	{DateSpec{Hours: "9-17"}, true},
	{DateSpec{Hours: "17-9"}, false},
	{DateSpec{Months: "6", MonthDays: "15"}, true},
	{DateSpec{Months: "6", MonthDays: "16"}, false},
	{DateSpec{WeekDays: "1"}, true},
	{DateSpec{WeekDays: "7"}, false},
	{DateSpec{WeekDays: "1-5", Hours: "9-16"}, true},
	{DateSpec{Weeks: "25"}, true},
	{DateSpec{Weeks: "24"}, false},
	{DateSpec{WeekYears: "2020"}, true},
	{DateSpec{WeekYears: "2021-"}, false},
	{DateSpec{YearDays: "167"}, true},
	{DateSpec{YearDays: "166"}, false},
	{DateSpec{Years: "2019-"}, true},
	{DateSpec{Years: "-2019"}, false},
	{DateSpec{Minutes: "30", Seconds: "45"}, true},
	{DateSpec{Minutes: "30", Seconds: "44"}, false},
	{DateSpec{Minutes: "31"}, false},
}

func TestEvaluate_DateSpec(t *testing.T) {
	t.Parallel()
	for i, c := range specCases {
		res := Evaluate(one(Condition{Date: &DateExpression{Operation: "date_spec", Spec: &c.spec}}), input())
		if res.Pass != c.want || len(res.Problems) > 0 || !res.Recheck.IsZero() {
			t.Errorf("case %d %+v: Evaluate() = %+v, want %v", i, c.spec, res, c.want)
		}
	}
}

func TestEvaluate_Zone(t *testing.T) {
	t.Parallel()
	tokyo := time.FixedZone("", 9*3600)
	in := input()
	in.Now = in.Now.In(tokyo)
	hour := one(Condition{Date: &DateExpression{Operation: "date_spec", Spec: &DateSpec{Hours: "21"}}})
	if !Evaluate(hour, in).Pass {
		t.Error("the hour is not taken in the zone of Now")
	}
	local := one(Condition{Date: &DateExpression{Operation: "gt", Start: "2020-06-15 21:30:44"}})
	if !Evaluate(local, in).Pass {
		t.Error("a date without offset is not in the zone of Now")
	}
	in.Zone = time.UTC
	if Evaluate(local, in).Pass {
		t.Error("a date without offset is not in Zone")
	}
}

func TestEvaluate_ResourceAndOperation(t *testing.T) {
	t.Parallel()
	rsc := func(class, provider, typ string) Condition {
		return Condition{Resource: &ResourceExpression{Class: class, Provider: provider, Type: typ,
			HasClass: class != "", HasProvider: provider != "", HasType: typ != ""}}
	}
	op := func(name, interval string) Condition {
		return Condition{Operation: &OperationExpression{Name: name, Interval: interval}}
	}
	for i, c := range []struct {
		cond          Condition
		with, without bool
	}{
		{rsc("", "", ""), true, true},
		{rsc("ocf", "", ""), true, false},
		{rsc("OCF", "", ""), false, false},
		{rsc("ocf", "heartbeat", "Dummy"), true, false},
		{rsc("ocf", "pacemaker", "Dummy"), false, false},
		{rsc("", "", "Stateful"), false, false},
		{Condition{Resource: &ResourceExpression{HasProvider: true}}, false, false}, // asks for no provider
		{op("monitor", ""), true, false},
		{op("Monitor", ""), false, false},
		{op("start", ""), false, false},
		{op("monitor", "10s"), true, false},
		{op("monitor", "10"), true, false},
		{op("monitor", "10.9s"), true, false},
		{op("monitor", "10000ms"), true, false},
		{op("monitor", "10000000 usec"), true, false},
		{op("monitor", "PT10S"), true, false},
		{op("monitor", "10min"), false, false},
		{op("monitor", "1h"), false, false},
		{op("monitor", "P9999Y"), false, false},
		{op("monitor", "0"), false, false},
	} {
		if res := Evaluate(one(c.cond), input()); res.Pass != c.with || len(res.Problems) > 0 {
			t.Errorf("case %d: Evaluate() = %+v, want %v", i, res, c.with)
		}
		if res := Evaluate(one(c.cond), Input{Now: now}); res.Pass != c.without || len(res.Problems) > 0 {
			t.Errorf("case %d without data: Evaluate() = %+v, want %v", i, res, c.without)
		}
	}
}

func TestEvaluate_Joining(t *testing.T) {
	t.Parallel()
	yes := Condition{Attribute: &AttributeExpression{Attribute: "i5", Operation: "defined"}}
	no := Condition{Attribute: &AttributeExpression{Attribute: "zz", Operation: "defined"}}
	bad := Condition{Attribute: &AttributeExpression{ID: "bad", Attribute: "zz", Operation: "?"}}
	for _, c := range []struct {
		name     string
		op       string
		conds    []Condition
		want     bool
		problems int
	}{
		{"none", "", nil, true, 0},
		{"none, or", "or", nil, true, 0},
		{"and", "", []Condition{yes, yes}, true, 0},
		{"and fails", "and", []Condition{yes, no}, false, 0},
		{"and stops", "AND", []Condition{no, bad}, false, 0},
		{"or", "or", []Condition{no, yes}, true, 0},
		{"or fails", "or", []Condition{no, no}, false, 0},
		{"or stops", "OR", []Condition{yes, bad}, true, 0},
		{"or goes on", "or", []Condition{bad, yes}, true, 1},
		{"nested", "and", []Condition{yes, {Rule: &Rule{BooleanOp: "or", Conditions: []Condition{no, yes}}}}, true, 0},
		{"nested fails", "and", []Condition{yes, {Rule: &Rule{BooleanOp: "and", Conditions: []Condition{no, yes}}}}, false, 0},
	} {
		res := Evaluate(&Rule{ID: "r", BooleanOp: c.op, Conditions: c.conds}, input())
		if res.Pass != c.want || len(res.Problems) != c.problems {
			t.Errorf("%s: Evaluate() = %+v, want %v and %d problems", c.name, res, c.want, c.problems)
		}
	}
}

func TestSubstitute(t *testing.T) {
	t.Parallel()
	subs := []string{"rsc-web", "web"}
	for text, want := range map[string]string{"a-%1": "a-web", "%0": "rsc-web", "%2x": "x", "%": "%", "%a%1": "%aweb", "plain": "plain"} {
		if got := Substitute(text, subs); got != want {
			t.Errorf("Substitute(%q) = %q, want %q", text, got, want)
		}
	}
	if got := Substitute("%1", nil); got != "%1" {
		t.Errorf("Substitute(%%1) without submatches = %q", got)
	}
	in := input()
	in.Submatches = subs
	if !Evaluate(one(Condition{Attribute: &AttributeExpression{Attribute: "a-%1", Operation: "eq", Value: "yes", HasValue: true}}), in).Pass {
		t.Error("submatches are not used for the attribute name")
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	day := func(d DateExpression) Condition { d.ID = "x"; return Condition{Date: &d} }
	for name, c := range map[string]struct {
		rule Rule
		want string // "" = sound
	}{
		"sound":     {Rule{Score: "-INFINITY", Role: "Promoted", Conditions: []Condition{day(DateExpression{Operation: "gt", Start: "2020-01-01"})}}, ""},
		"reference": {Rule{IDRef: "other"}, ""},
		"both":      {Rule{ID: "x", IDRef: "other", Conditions: make([]Condition, 1)}, "both id-ref"},
		"score":     {Rule{ID: "x", Score: "lots"}, `score "lots"`},
		"scores":    {Rule{ID: "x", Score: "1", ScoreAttribute: "a"}, "both score and"},
		"role":      {Rule{ID: "x", Role: "Boss"}, `role "Boss"`},
		"empty":     {Rule{ID: "x", Conditions: make([]Condition, 1)}, "empty condition"},
		"reversed":  {Rule{Conditions: []Condition{day(DateExpression{Start: "2021-01-01", End: "2020-01-01"})}}, "never passes"},
		"end twice": {Rule{Conditions: []Condition{day(DateExpression{Start: "2021-01-01", End: "2022-01-01", Duration: &DateDuration{}})}}, "both end and"},
		"spec limit": {Rule{Conditions: []Condition{day(DateExpression{Operation: "date_spec",
			Spec: &DateSpec{ID: "x", WeekDays: "8"}})}}, "outside 1-7"},
		"spec reversed": {Rule{Conditions: []Condition{day(DateExpression{Operation: "date_spec",
			Spec: &DateSpec{ID: "x", Hours: "17-8"}})}}, "starts after its end"},
		"moon":    {Rule{Conditions: []Condition{day(DateExpression{Operation: "date_spec", Spec: &DateSpec{ID: "x", Moon: "4"}})}}, "moon"},
		"integer": {Rule{Conditions: []Condition{{Attribute: attributeCase{"a", "lt", "x", "integer", "", false}.expression("x")}}}, `"x" is no integer`},
		"number":  {Rule{Conditions: []Condition{{Attribute: attributeCase{"a", "lt", "x", "number", "", false}.expression("x")}}}, `"x" is no number`},
		"version": {Rule{Conditions: []Condition{{Attribute: attributeCase{"a", "lt", "x", "version", "", false}.expression("x")}}}, `"x" is no version`},
		"all":     {Rule{Conditions: []Condition{{Resource: &ResourceExpression{ID: "x"}}}}, "always passes"},
	} {
		got := Validate(&c.rule)
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("%s: Validate() = %v, want none", name, got)
		case c.want != "" && (len(got) != 1 || got[0].ID != "x" || !strings.Contains(got[0].Text, c.want)):
			t.Errorf("%s: Validate() = %v, want %q", name, got, c.want)
		}
	}
	many := &Rule{}
	for range 3 * maxProblems {
		many.Conditions = append(many.Conditions, Condition{Operation: &OperationExpression{}})
	}
	if got := len(Validate(many)); got != maxProblems {
		t.Errorf("Validate() = %d problems, want %d", got, maxProblems)
	}
}

// Goal: the recheck time is exactly the next change. Method: random date expressions; nothing changes
// before the recheck time, and without one nothing ever changes.
func TestEvaluate_RecheckIsTheNextChange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := func(label string) string {
			return now.Truncate(time.Second).Add(time.Duration(rapid.IntRange(-20, 20).Draw(t, label)) * time.Second).Format("2006-01-02 15:04:05Z")
		}
		x := DateExpression{Operation: rapid.SampledFrom([]string{"gt", "lt", "in_range"}).Draw(t, "operation"), Start: at("start"), End: at("end")}
		r, in := one(Condition{Date: &x}), input()
		first := Evaluate(r, in)
		limit := in.Now.Add(60 * time.Second)
		if !first.Recheck.IsZero() {
			limit = first.Recheck.Add(-time.Second)
		}
		for in.Now = in.Now.Add(time.Second).Truncate(time.Second); !in.Now.After(limit); in.Now = in.Now.Add(time.Second) {
			if Evaluate(r, in).Pass != first.Pass {
				t.Fatalf("%+v changes at %v, recheck says %v", x, in.Now, first.Recheck)
			}
		}
	})
}

func FuzzEvaluate(f *testing.F) {
	f.Add("i5", "eq", "5", "integer", "2020-01-01", "8-17", "P1D")
	f.Add("v", "gt", "1.2", "version", "epoch", "-3", "10s")
	f.Fuzz(func(t *testing.T, attribute, operation, value, kind, date, span, interval string) {
		x := AttributeExpression{Attribute: attribute, Operation: operation, Value: value, HasValue: true, Type: kind}
		r := &Rule{BooleanOp: "or", Conditions: []Condition{
			{Attribute: &x},
			{Date: &DateExpression{Operation: operation, Start: date, Duration: &DateDuration{Days: value}}},
			{Date: &DateExpression{Operation: "date_spec", Spec: &DateSpec{Hours: span, Years: value}}},
			{Operation: &OperationExpression{Name: "monitor", Interval: interval}},
		}}
		in := input()
		in.Submatches = []string{span}
		a, b := Evaluate(r, in), Evaluate(r, in)
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("Evaluate() differs: %v, %v", a, b)
		}
		Validate(r)
		// A total order: both directions agree for each type.
		for k := typeString; k <= typeVersion; k++ {
			if compare(k, attribute, value) != -compare(k, value, attribute) {
				t.Errorf("compare(%d, %q, %q) is not antisymmetric", k, attribute, value)
			}
		}
	})
}

// Goal: agree with Pacemaker's simulator, as a black box. Method: one resource per case with one location
// rule of score 7; the printed score says whether the rule passed. Left out is what Pacemaker 2.1.5 is known
// to do otherwise: an empty value never equals anything there, numbers out of range are no numbers, and a version with a
// suffix hangs it.
func TestAgainstPacemaker(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("crm_simulate")
	if err != nil {
		t.Skip("crm_simulate of pacemaker-cli-utils is not installed")
	}
	esc := strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;").Replace
	var resources, constraints, attributes strings.Builder
	var want []bool
	add := func(pass bool, xml string) {
		n := len(want)
		want = append(want, pass)
		fmt.Fprintf(&resources, `<primitive id="r%d" class="ocf" provider="heartbeat" type="Dummy"><instance_attributes id="r%d-p"><nvpair id="r%d-p1" name="p" value="5"/></instance_attributes><meta_attributes id="r%d-m"><nvpair id="r%d-m1" name="m" value="5"/></meta_attributes></primitive>`, n, n, n, n, n)
		fmt.Fprintf(&constraints, `<rsc_location id="l%d" rsc="r%d"><rule id="l%d-r" score="7">%s</rule></rsc_location>`, n, n, n, xml)
	}
	for i, c := range attributeCases {
		if nodeAttributes[c.attribute] == "" && c.attribute != "zz" && c.operation != "defined" || c.source == "param" && c.value == "empty" ||
			c.kind == "version" && c.attribute != "v" || strings.HasPrefix(c.value, "9999") || strings.HasSuffix(c.value, "9999") {
			continue
		}
		xml := fmt.Sprintf(`<expression id="e%d" attribute="%s" operation="%s"`, i, esc(c.attribute), c.operation)
		for _, a := range [][2]string{{"value", c.value}, {"type", c.kind}, {"value-source", c.source}} {
			if a[1] != "" && a[1] != "-" {
				xml += fmt.Sprintf(` %s="%s"`, a[0], esc(a[1]))
			}
		}
		add(c.want, xml+"/>")
	}
	attribute := func(name, value string) string {
		if value == "" {
			return ""
		}
		return fmt.Sprintf(` %s="%s"`, name, esc(value))
	}
	for i, c := range dateCases {
		if c.x.Start == "junk" {
			continue
		}
		xml := fmt.Sprintf(`<date_expression id="d%d"`, i) + attribute("operation", c.x.Operation) + attribute("start", c.x.Start) + attribute("end", c.x.End) + ">"
		if d := c.x.Duration; d != nil {
			xml += fmt.Sprintf(`<duration id="q%d"`, i) + attribute("years", d.Years) + attribute("months", d.Months) + attribute("weeks", d.Weeks) +
				attribute("days", d.Days) + attribute("hours", d.Hours) + attribute("minutes", d.Minutes) + attribute("seconds", d.Seconds) + "/>"
		}
		add(c.want, xml+"</date_expression>")
	}
	for i, c := range specCases {
		s := c.spec
		add(c.want, fmt.Sprintf(`<date_expression id="s%d" operation="date_spec"><date_spec id="t%d"`, i, i)+
			attribute("years", s.Years)+attribute("months", s.Months)+attribute("monthdays", s.MonthDays)+attribute("hours", s.Hours)+
			attribute("minutes", s.Minutes)+attribute("seconds", s.Seconds)+attribute("yeardays", s.YearDays)+
			attribute("weekyears", s.WeekYears)+attribute("weeks", s.Weeks)+attribute("weekdays", s.WeekDays)+"/></date_expression>")
	}
	for name, value := range nodeAttributes {
		if !strings.HasPrefix(name, "#") {
			fmt.Fprintf(&attributes, `<nvpair id="n-%s" name="%s" value="%s"/>`, name, name, esc(value))
		}
	}
	doc := `<cib validate-with="none" crm_feature_set="3.16.0" admin_epoch="0" epoch="1" num_updates="0" have-quorum="1"><configuration><crm_config><cluster_property_set id="o"><nvpair id="o1" name="stonith-enabled" value="false"/></cluster_property_set></crm_config><nodes><node id="1" uname="n1"><instance_attributes id="n">` +
		attributes.String() + `</instance_attributes></node></nodes><resources>` + resources.String() + `</resources><constraints>` +
		constraints.String() + `</constraints></configuration><status/></cib>`
	file := filepath.Join(t.TempDir(), "cib.xml")
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tool, "-x", file, "-t", "2020-06-15 12:30:45Z", "-sSQ")
	cmd.Env = []string{"TZ=UTC"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("crm_simulate: %v", err)
	}
	got := map[string]string{}
	for _, line := range strings.Split(string(out), "\n") {
		if w := strings.Fields(line); len(w) == 7 && w[0] == "pcmk__primitive_assign:" {
			got[w[1]] = w[6]
		}
	}
	constraintList := strings.Split(constraints.String(), "</rsc_location>")
	for i, pass := range want {
		if score := got[fmt.Sprintf("r%d", i)]; (score == "7") != pass || score == "" {
			t.Errorf("%s: score %q, want to pass: %v", constraintList[i], score, pass)
		}
	}
}
