-- wrk posts the events of a file, one after the other: wrk -s post.lua URL -- FILE PATH [TOKEN]
local requests, next_request = {}, 0

function init(arguments)
  local headers = { ['Content-Type'] = 'application/json' }
  if arguments[3] then headers['Authorization'] = 'Bearer ' .. arguments[3] end
  for line in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format('POST', arguments[2], headers, line)
    if #requests == 20000 then break end
  end
end

function request()
  next_request = next_request % #requests + 1
  return requests[next_request]
end

function done(summary, latency)
  io.write(string.format('{"requests":%d,"seconds":%.3f,"not_2xx":%d,"socket_errors":%d,"p50_us":%.0f,"p99_us":%.0f}\n',
    summary.requests, summary.duration / 1e6, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
