# The function validate.
path "kv/data/almanac/validate/*" {
  capabilities = ["read"]
}
path "kv/data/almanac/shared/*" {
  capabilities = ["read"]
}
path "pki/issue/validate" {
  capabilities = ["update"]
}
