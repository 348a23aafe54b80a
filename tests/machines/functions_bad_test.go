package machines_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestBadFunctionsAreRefused tells functions.yml what cannot be, one thing at a time. Each must be refused with a sentence, and before anything is changed.
func TestBadFunctionsAreRefused(t *testing.T) {
	s, _ := withFunctions(t)
	unfurnished := t.TempDir() // knows the authority of the machines, and nothing else of them
	if err := os.CopyFS(filepath.Join(unfurnished, "ca"), os.DirFS(filepath.Join(s.dir, "ca"))); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ vars, says string }{
		"a function that there is not":        {`{"functions_run": ["store", "stove"]}`, "value of functions_run must be one or more of: calendar, collect, process, validate, store, aggregate, deliver, serve. Got no match for: stove"},
		"no function":                         {`{"functions_run": []}`, "names no function. There are calendar, collect"},
		"settings of none":                    {`{"functions_settings_of": {"stove": {}}}`, "functions_settings_of names stove, and there is no such function"},
		"a dataset that is not there":         {`{"functions_datasets": ["/nowhere/flights"]}`, "there is no /nowhere/flights/contract.yaml and no /nowhere/flights/pipeline.yaml"},
		"two datasets of one name":            {`{"functions_datasets": ["../spark-jobs/births", "../spark-jobs/births/"]}`, "names two folders that are called alike"},
		"no broker":                           {`{"functions_kafka_bootstrap": []}`, "No machine is in the group kafka_brokers, and functions_kafka_bootstrap names no broker"},
		"no Spark":                            {`{"functions_spark": ""}`, "aggregate and deliver need it"},
		"no OpenBao":                          {`{"functions_openbao": ""}`, "No machine is in the group secrets"},
		"a schedule that cron does not know":  {`{"functions_schedule": "daily"}`, `functions_schedule is "daily". Write five fields of cron`},
		"a password among the settings":       {`{"functions_settings_extra": {"ALMANAC_KAFKA_PASSWORD_FILE": "word"}}`, "ALMANAC_KAFKA_PASSWORD_FILE would stand in a file in clear"},
		"a setting that is not one":           {`{"functions_settings_extra": {"grace": "1m"}}`, "is not named like a variable"},
		"programs that are not there":         {`{"functions_artefact_url": "/nowhere/functions.tar.gz"}`, "run make functions-archive there"},
		"programs without a checksum":         {`{"functions_artefact_checksum": "sha512:12"}`, "128 hexadecimal digits"},
		"an option that is misspelt":          {`{"functions_dataset": []}`, "functions_dataset is not an option of any role: did you mean functions_datasets?"},
		"a site that was not furnished":       {`{"almanac_state": "` + unfurnished + `"}`, "run site.yml first"},
		"another site's state":                {`{"almanac_state": "` + t.TempDir() + `"}`, "was furnished with another certificate authority than"},
		"memory of a function that is a word": {`{"functions_memory": "much"}`, "argument 'functions_memory' is of type"},
	} {
		t.Run(name, func(t *testing.T) {
			s.refusedBy(t, "functions.yml", tt.says, "--tags", "functions_preflight", "-e", tt.vars)
		})
	}
}
