package main

// keep are attributes that a reduced document has to have to stay one of its schema, and readable.
var keep = map[string]bool{"id": true, "uname": true, "validate-with": true, "operation_key": true, "transition-key": true, "transition-magic": true,
	"call-id": true, "on_node": true, "class": true, "provider": true, "type": true, "crm_feature_set": true, "admin_epoch": true, "epoch": true,
	"num_updates": true}

// reduce takes elements and attributes out of the document as long as test still holds, and returns the document when
// nothing more can go. test is asked for each attempt.
func reduce(root *element, test func(*element) bool) {
	for progress := true; progress; {
		progress = reduceElements(root, root, test)
		for _, e := range append(root.all(), root) {
			for _, a := range append(e.attrs[:0:0], e.attrs...) {
				if keep[a.Name.Local] {
					continue
				}
				before := append(e.attrs[:0:0], e.attrs...)
				e.unset(a.Name.Local)
				if test(root) {
					progress = true
				} else {
					e.attrs = before
				}
			}
		}
	}
}

// reduceElements removes children in ever smaller runs, then goes into those that had to stay.
func reduceElements(root, e *element, test func(*element) bool) bool {
	progress := false
	for size := len(e.children); size > 0; size /= 2 {
		for at := 0; at < len(e.children); {
			before := e.children
			end := min(at+size, len(before))
			e.children = append(append([]*element(nil), before[:at]...), before[end:]...)
			if test(root) {
				progress = true
			} else {
				e.children = before
				at += size
			}
		}
	}
	for _, c := range append([]*element(nil), e.children...) {
		progress = reduceElements(root, c, test) || progress
	}
	return progress
}
