package brokers

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

func TestTryLeavesNothing(t *testing.T) {
	tests := map[string]struct {
		refuse kmsg.Key
		code   int16
		says   string
	}{
		"all is well":           {-1, 0, ""},
		"topics are not made":   {kmsg.CreateTopics, kerr.PolicyViolation.Code, "a policy of the brokers forbids it"},
		"topics are not erased": {kmsg.DeleteTopics, kerr.PolicyViolation.Code, "remove topic " + TryPrefix},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			fake, err := kfake.NewCluster(kfake.NumBrokers(3))
			if err != nil {
				t.Fatal(err)
			}
			defer fake.Close()
			refuse(fake, tt.refuse, tt.code)
			c, err := link.Open(t.Context(), link.Config{Brokers: fake.ListenAddrs(), Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			records, err := Try(t.Context(), c)
			if tt.says != "" {
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("Try = %v, want it to say %q", err, tt.says)
				}
				return
			}
			if err != nil || records != 3 {
				t.Errorf("Try = %d, %v, want 3 records, one of each broker", records, err)
			}
			fresh, err := link.Open(t.Context(), link.Config{Brokers: fake.ListenAddrs(), Now: time.Now}) // the other remembers
			if err != nil {
				t.Fatal(err)
			}
			defer fresh.Close()
			if left, err := fresh.Admin.ListTopics(t.Context()); err != nil || len(left) != 0 {
				t.Errorf("the topics after it are %v, %v, want none", left.Names(), err)
			}
		})
	}
}

// refuse has the brokers answer all requests of a kind with an error.
func refuse(fake *kfake.Cluster, key kmsg.Key, code int16) {
	if key < 0 {
		return
	}
	fake.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		switch resp := req.ResponseKind().(type) {
		case *kmsg.CreateTopicsResponse:
			for _, t := range req.(*kmsg.CreateTopicsRequest).Topics {
				resp.Topics = append(resp.Topics, kmsg.CreateTopicsResponseTopic{Topic: t.Topic, ErrorCode: code})
			}
			return resp, nil, true
		case *kmsg.DeleteTopicsResponse:
			for _, t := range req.(*kmsg.DeleteTopicsRequest).Topics {
				resp.Topics = append(resp.Topics, kmsg.DeleteTopicsResponseTopic{Topic: t.Topic, ErrorCode: code})
			}
			return resp, nil, true
		}
		return nil, nil, false
	})
}
