package dataset

import "testing"

func TestLoadReadsBirths(t *testing.T) {
	d, err := Load("../../../spark-jobs/births")
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Columns) != 3 || len(d.Rules) != 10 || len(d.Definition) != 64 {
		t.Errorf("Load(births) = %+v", *d)
	}
}
