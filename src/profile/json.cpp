#include "profile/json.h"

namespace lanner {

namespace profile {

using nlohmann::json;

json rows_json(const std::vector<ProfileRow>& rows) {
  json result = json::array();
  for (const ProfileRow& row : rows) {
    json item{{"backend", row.backend}, {"count", row.count},   {"sum_us", row.sum_us},
              {"mean_us", row.mean_us}, {"min_us", row.min_us}, {"max_us", row.max_us}};
    if (!row.op.empty()) item["operator"] = row.op;
    if (!row.name.empty()) item["name"] = row.name;
    result.push_back(std::move(item));
  }
  return result;
}

json summary_json(const Profile& profile) {
  json lanes = json::array();
  for (const ProfileLane& lane : profile.lanes()) {
    lanes.push_back({{"busy_us", lane.busy_us}, {"occupancy", lane.occupancy}});
  }
  const CriticalPath& path = profile.critical_path();
  const ProfileMemory& memory = profile.memory();
  return {{"runs", profile.run_count()},
          {"run_ms", profile.run_ms()},
          {"threads", profile.data().facts.threads},
          {"rows", rows_json(profile.rows())},
          {"child_rows", rows_json(profile.child_rows())},
          {"backends", rows_json(profile.backend_rows())},
          {"subgraphs", rows_json(profile.subgraph_rows())},
          {"lanes", std::move(lanes)},
          {"critical_path",
           {{"run", path.run},
            {"length_us", path.length_us},
            {"serial_us", path.serial_us},
            {"wall_us", path.wall_us},
            {"instruction_count", path.instruction_count},
            {"rows", rows_json(path.rows)}}},
          {"memory",
           {{"arena_bytes", memory.arena_bytes},
            {"pool_bytes", memory.pool_bytes},
            {"process_bytes", memory.process_bytes}}}};
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace profile

std::string Profile::json() const {
  nlohmann::json events = nlohmann::json::array();
  for (const profile::NamedEvent& event : data_->events) {
    const profile::Label& label = data_->labels[event.label];
    events.push_back({{"operator", label.op},
                      {"name", label.name},
                      {"backend", label.backend},
                      {"child", label.child},
                      {"start_us", event.start_us},
                      {"duration_us", event.duration_us},
                      {"own_us", event.own_us},
                      {"lane", event.lane},
                      {"wide", event.wide},
                      {"run", event.run},
                      {"critical", event.critical},
                      {"inside", event.parent == profile::kNoEvent ? nlohmann::json() : nlohmann::json(event.parent)},
                      {"dependencies", event.dependencies}});
  }
  nlohmann::json all = profile::summary_json(*this);
  all["events"] = std::move(events);
  return profile::dump(all);
}

}  // namespace lanner
