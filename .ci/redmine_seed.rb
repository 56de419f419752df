# frozen_string_literal: true

# What a Redmine holds before a test writes to it: tables, the defaults of a new installation, and what cannot be made
# over its REST API. Prints the admin's key. Projects, people and issues stay out: tests make them.

ActiveRecord::Migration.verbose = false
ActiveRecord::Base.connection.migration_context.migrate
ActiveRecord::Base.descendants.each(&:reset_column_information)
Redmine::DefaultData::Loader.load('en')

Setting.rest_api_enabled = '1'
Setting.notified_events = []

admin = User.find_by_login('admin')
admin.must_change_passwd = false
admin.save!(validate: false)

Role.create!(name: 'Reader', permissions: %i[view_issues view_time_entries])
Role.create!(name: 'Client', permissions: Role.find_by(name: 'Reporter').permissions + %i[edit_issues])

['Submitted', 'Changes requested', 'Approved', 'Waived', 'Cancelled'].each { |name| IssueStatus.create!(name: name) }
trackers = ['Milestone', 'Change order'].map { |name| Tracker.create!(name: name, default_status: IssueStatus.first) }
statuses = IssueStatus.all.map(&:id)
trackers.product(Role.givable, [0, *statuses], statuses).each do |tracker, role, from, to| # from 0: a new issue
  WorkflowTransition.create!(tracker: tracker, role: role, old_status_id: from, new_status_id: to) unless from == to
end

def field(kind, name, format, **more)
  kind.create!(name: name, field_format: format, visible: true, **more)
end

field(ProjectCustomField, 'Client', 'string')
field(ProjectCustomField, 'Contract amount', 'float')
field(ProjectCustomField, 'Currency', 'list', possible_values: %w[EUR USD])
field(ProjectCustomField, 'Signed on', 'date')
field(ProjectCustomField, 'Kickoff on', 'date')
field(ProjectCustomField, 'Manager', 'string')
field(ProjectCustomField, 'Playbook', 'string')

everywhere = { is_for_all: true, trackers: trackers }
field(IssueCustomField, 'Amount', 'float', **everywhere)
field(IssueCustomField, 'Invoice ref', 'string', **everywhere)
field(IssueCustomField, 'Client approved', 'bool', **everywhere)
field(IssueCustomField, 'Client approved on', 'date', **everywhere)
field(IssueCustomField, 'Next team', 'string', **everywhere)
field(IssueCustomField, 'Approver', 'string', **everywhere)
field(IssueCustomField, 'Approver side', 'string', **everywhere)
field(IssueCustomField, 'Locks scope', 'bool', **everywhere)
field(IssueCustomField, 'Reason', 'string', **everywhere)
field(IssueCustomField, 'Days', 'int', **everywhere)
field(IssueCustomField, 'Requested by', 'string', **everywhere)

field(VersionCustomField, 'Amount', 'float')
field(VersionCustomField, 'Invoice ref', 'string')
field(VersionCustomField, 'Client approved on', 'date')

TimeEntryActivity.create!(name: 'Extra work')

puts admin.api_key
