# Reads queries, one a line in base64; writes names and texts of each as JSON, as Rack has them.
require "json"
require "rack"
def texts(value) = value.is_a?(Hash) ? value.values.flat_map { |each| texts(each) } : Array(value).flat_map { |each| each.is_a?(String) ? [each] : texts(each) }
STDIN.each_line do |line|
  begin
    fields = Rack::Utils.parse_nested_query(line.unpack1("m"))
  rescue StandardError
    fields = {}
  end
  puts JSON.generate(fields.flat_map { |name, value| texts(value).map { |each| [name.to_s.scrub, each.scrub] } })
end
