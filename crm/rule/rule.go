// Package rule models and evaluates the rule expressions of a cluster document: conditions on node
// attributes, on dates, on resource agents and on operations (spec/01-inputs.md section 8).
//
// The package is pure: the time, the node attributes and everything else that a rule may look at are
// passed in. A Rule is a value that is not changed after it was read, so it may be evaluated by several
// goroutines at once.
package rule

// Rule is one rule element with its conditions. The zero value has no conditions and passes.
type Rule struct {
	ID    string
	IDRef string // names the rule that stands here instead; everything else is empty then

	// Op joins the conditions. The text as written ("and", "or", "" = and) is kept in BooleanOp.
	BooleanOp string

	// Role, Score and ScoreAttribute are used by location constraints only. Score is kept as written,
	// because "" (no score), "0" and an attribute name in the old form are different things.
	Role           string
	Score          string
	ScoreAttribute string

	Conditions []Condition
}

// Condition is one child of a rule. Exactly one of the fields is set.
type Condition struct {
	Rule      *Rule
	Attribute *AttributeExpression
	Date      *DateExpression
	Resource  *ResourceExpression
	Operation *OperationExpression
}

// AttributeExpression (XML: expression) compares a node attribute with a value.
type AttributeExpression struct {
	ID          string
	Attribute   string
	Operation   string // defined, not_defined, eq, ne, lt, lte, gt, gte
	Value       string
	HasValue    bool   // an empty value was written
	Type        string // string, integer, number, version; "" = by operation; "integer" was once "number"
	ValueSource string // literal, param, meta; "" = literal
}

// DateExpression (XML: date_expression) compares the present time.
type DateExpression struct {
	ID        string
	Operation string // in_range, gt, lt, date_spec; "" = in_range
	Start     string // ISO 8601 as written
	End       string
	Duration  *DateDuration
	Spec      *DateSpec
}

// DateDuration (XML: duration) is the length of a range, as the attribute values written.
type DateDuration struct {
	ID                                                  string
	Years, Months, Weeks, Days, Hours, Minutes, Seconds string
	// Extra keeps further attributes that old schemas allow here and that have no effect, as name and value.
	Extra [][2]string
	// Order has the names of the fields with spaces between, in the order in which they were written; "" is the usual
	// one. It decides in which order they are printed, and nothing else.
	Order string `cbor:",omitempty" json:",omitempty"`
}

// DateSpec (XML: date_spec) restricts fields of the present time to ranges such as "8-17" or "6-", as
// written. Weekdays count from 1 (Monday), weeks are ISO weeks.
type DateSpec struct {
	ID                                                string
	Years, Months, MonthDays, Hours, Minutes, Seconds string
	YearDays, WeekYears, Weeks, WeekDays, Moon        string
	// Order has the names of the fields as they were written, as in DateDuration.
	Order string `cbor:",omitempty" json:",omitempty"`
}

// ResourceExpression (XML: rsc_expression) compares a resource agent; an empty field matches all.
type ResourceExpression struct {
	ID                             string
	Class, Provider, Type          string
	HasClass, HasProvider, HasType bool // the attribute was written
}

// OperationExpression (XML: op_expression) compares an operation; Interval "" matches all.
type OperationExpression struct {
	ID       string
	Name     string
	Interval string
}
