package cibxml

import (
	"bytes"
	"testing"
)

// TestWrite_PendingKeepsCallID: an operation that is under way says so by its call id, too.
func TestWrite_PendingKeepsCallID(t *testing.T) {
	t.Parallel()
	const op = `<lrm_rsc_op id="p_last_0" operation="start" call-id="-1" rc-code="193" op-status="-1" interval="0"/>`
	doc, _, err := Read([]byte(`<cib><configuration/><status><node_state id="1" uname="n1"><lrm id="1"><lrm_resources><lrm_resource id="p">` + op +
		`</lrm_resource></lrm_resources></lrm></node_state></status></cib>`))
	if err != nil {
		t.Fatal(err)
	}
	if got := Write(doc, Options{Plain: true}); !bytes.Contains(got, []byte(op)) {
		t.Errorf("Write() = %s, want %s in it", got, op)
	}
}
