/** A panel of services in the page, beside a gateway that is played: for tests. */
import { CommandRegistry } from '@lumino/commands';
import { Menu, Widget } from '@lumino/widgets';

import { FakeApi, service } from '../../__tests__/fakes';
import { ServicesModel } from '../../model/services';
import { ServicesPanel } from '..';

// What is drawn is waited for as in a browser.
(globalThis as any).IS_REACT_ACT_ENVIRONMENT = false;

export class Attached {
  readonly fake = new FakeApi();
  readonly model: ServicesModel;
  readonly menu: Menu;
  readonly panel: ServicesPanel;

  /** With services of these names; the gateway is asked for them when the model watches. */
  constructor(...names: readonly string[]) {
    this.fake.services = names.map(name => service(name));
    this.model = new ServicesModel({
      api: this.fake.api,
      isVisible: () => true,
      stream: { delay: () => 5 }
    });
    const commands = new CommandRegistry();
    this.menu = new Menu({ commands });
    this.panel = new ServicesPanel({ model: this.model, commands, menu: this.menu });
    Widget.attach(this.panel, document.body);
  }

  dispose(): void {
    this.panel.dispose();
    this.menu.dispose();
    this.model.dispose();
  }
}
