// profile: where a model's time goes.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "cli/command.h"
#include "cli/side_by_side.h"
#include "profile/profile.h"

namespace lanner::cli {

namespace {

// The pass whose rules --compare leaves out.
constexpr std::string_view kHeadPass = "batch-heads";

struct ProfileOptions : ModelOptions {
  std::string inputs, trace, html, json;
  int runs = 20;
  bool compare = false;
};

std::string plural(std::size_t count, std::string_view word) {
  return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s");
}

double median_ms(const Profile& profile) {
  return profile.critical_path().wall_us / 1000;
}

void profile(const ProfileOptions& options) {
  const Program program = options.open();
  Session session(program, options.session_options());
  const Profile profile = session.profile(inputs_for(program, options.inputs), options.runs);
  if (!options.trace.empty()) profile.write_trace(options.trace);
  if (!options.html.empty()) {
    const profile::TitledProfile titled{"", profile};
    base::write_file_atomically(options.html, profile::html_page(options.model, {&titled, 1}));
  }
  if (options.json == "-") {
    print("{}\n", profile.json());
    return;
  }
  if (!options.json.empty()) profile.write_json(options.json);
  print("{}\n{}\n{} runs on {} threads, median {:.3f} ms\n", profile.table(), profile.summary(), profile.run_count(),
        session.threads(), median_ms(profile));
}

std::string column(const std::string& title, const Program& program, const Profile& profile) {
  return fmt::format("{}\n{}, median {:.3f} ms\n\n{}", title, plural(program.instruction_count(), "instruction"),
                     median_ms(profile), short_table(profile.rows()));
}

// The model without head rules on one lane, and as it is otherwise.
void compare(const ProfileOptions& options) {
  options.check_compilable(true, "--compare");
  ProfileOptions plain_options = options;
  plain_options.lanes = 1;
  CompileOptions without_heads;
  without_heads.disable_rules = pass_rules(kHeadPass);
  const Program plain_program = plain_options.open(std::move(without_heads));
  const Program program = options.open();
  Session plain_session(plain_program, plain_options.session_options());
  Session session(program, options.session_options());
  Session* const sessions[] = {&plain_session, &session};
  const std::vector<Profile> profiles =
      Session::profile_in_turns(sessions, inputs_for(program, options.inputs), options.runs);
  const Profile& without = profiles[0];
  const Profile& with = profiles[1];
  const std::string without_title = "Without head rules, 1 lane";
  const std::string with_title = "With head rules, " + plural(with.lanes().size(), "lane");

  if (!options.trace.empty()) with.write_trace(options.trace);
  if (!options.html.empty()) {
    const profile::TitledProfile titled[] = {{with_title, with}, {without_title, without}};
    base::write_file_atomically(options.html, profile::html_page(options.model, titled));
  }
  const auto json = [&] { return fmt::format("{{\"without\":{},\"with\":{}}}", without.json(), with.json()); };
  if (options.json == "-") {
    print("{}\n", json());
    return;
  }
  if (!options.json.empty()) base::write_file_atomically(options.json, json());
  print("{}\n{} runs of each in turn on {} threads; {:.3f} ms became {:.3f} ms: {:.2f} times as fast\n",
        side_by_side(column(without_title, plain_program, without), column(with_title, program, with)), options.runs,
        session.threads(), median_ms(without), median_ms(with), median_ms(without) / median_ms(with));
}

}  // namespace

Action add_profile(CLI::App& app) {
  CLI::App* command = app.add_subcommand("profile", "Measure where a model's time goes, operator by operator");
  const auto options = std::make_shared<ProfileOptions>();
  options->add_to(*command, "fast");
  command->add_option("--inputs", options->inputs, "An .npz file with one array per input; zeros without it");
  command->add_option("--runs", options->runs, "Recorded runs, after one that is not")
      ->check(at_least(1))
      ->capture_default_str();
  command->add_flag("--compare", options->compare, "Run without the head rules on one lane as well, and print both");
  command->add_option("--trace", options->trace, "Write a Chrome trace, for Perfetto");
  command->add_option("--html", options->html,
                      "Write a page with the timeline, the tables, the placement and the rules");
  add_json_option(*command, options->json,
                  "Write everything as JSON to a .json file; without a file name, print it instead of the table");
  return [options] { options->compare ? compare(*options) : profile(*options); };
}

}  // namespace lanner::cli
